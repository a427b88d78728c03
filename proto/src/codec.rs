//! How messages of long-lived streams become bytes.
//!
//! tonic gives every call two buffers of 8 KiB at once and keeps them for as long as the call lasts. Workers and gateways hold
//! a stream for their whole life, send some hundred bytes at a time, and an operator has thousands of them: their buffers begin
//! small and grow when a message needs it.

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Bytes of a buffer at first.
const BUFFER: usize = 512;
/// Messages that are ready are sent together up to this many bytes.
const TOGETHER: usize = 32 * 1024;

/// Protocol buffers, in buffers that begin small.
#[derive(Clone, Copy, Debug)]
pub struct SmallBuffers<T, U>(std::marker::PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, TOGETHER))
    }
}

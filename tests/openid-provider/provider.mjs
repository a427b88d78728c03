// A real OpenID provider (oidc-provider is certified) with people who need no password. Its one argument is JSON:
// {"issuer": "http://127.0.0.2:4000", "clients": [ as oidc-provider has them ], "people": {"ann": {"groups": ["it"]}}}
import Provider from 'oidc-provider';

const { issuer, clients, people } = JSON.parse(process.argv[2]);

const page = `<!doctype html><html lang="en"><title>Provider</title><h1>Sign in at the provider</h1>
<form method="post"><label for="login">Name</label> <input id="login" name="login" autofocus> <button>Sign in</button></form>`;

const provider = new Provider(issuer, {
  clients,
  claims: { openid: ['sub'], email: ['email'], groups: ['groups'] },
  // All claims of the scopes are in the ID token, as with the providers of most firms.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  cookies: { keys: ['of a test'] },
  interactions: { url: (_, interaction) => `/people/${interaction.uid}` },
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  // The firm's own people are not asked whether the firm's own portal may know them.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid email groups');
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/people/')) return next();
  if (ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.body = page;
    return undefined;
  }
  let form = '';
  for await (const chunk of ctx.req) form += chunk;
  const accountId = new URLSearchParams(form).get('login');
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId } });
});

const { hostname, port } = new URL(issuer);
provider.listen(Number(port), hostname);

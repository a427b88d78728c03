// Command certs makes the certificates and kubeconfigs of the local cluster.
//
// Each certificate is signed by one of two authorities made here: "ca" for
// servers and clients, "front-proxy-ca" for the API server's aggregation. A
// kubeconfig carries its certificate inside, so that it works from any folder.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var dir, server, local string

func main() {
	log.SetFlags(0)
	flag.StringVar(&dir, "dir", "", "folder to write to")
	flag.StringVar(&server, "server", "", "the API server's address inside the cluster, https://IP:PORT")
	flag.StringVar(&local, "local", "", "the API server's address outside, https://127.0.0.1:PORT")
	names := flag.String("names", "", "the API server's names and addresses, with commas")
	nodes := flag.String("nodes", "", "NAME=IP of each node, with commas")
	flag.Parse()
	if dir == "" || server == "" || local == "" {
		log.Fatal("certs: --dir, --server and --local are needed")
	}

	ca := authority("ca")
	proxyCA := authority("front-proxy-ca")
	ca.leaf("apiserver", "kube-apiserver", nil, strings.Split(*names, ","))
	ca.leaf("apiserver-kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil)
	proxyCA.leaf("front-proxy-client", "front-proxy-client", nil, nil)
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"} {
		ca.client(name, "system:"+name, nil)
	}
	ca.client("admin", "springtide-admin", []string{"system:masters"})
	for _, node := range strings.Split(*nodes, ",") {
		name, ip, ok := strings.Cut(node, "=")
		if !ok {
			log.Fatalf("certs: --nodes wants NAME=IP, not %q", node)
		}
		ca.leaf(name, "system:node:"+name, []string{"system:nodes"}, []string{name, ip})
		ca.kubeconfig(name, name, server)
	}
	key := newKey()
	write("sa.key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)), 0o600)
	write("sa.pub", "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key.Public())), 0o644)
}

func authority(name string) pair {
	key := newKey()
	template := template("springtide-"+name, nil)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return sign(name, template, template, key, key)
}

// client makes a certificate and the kubeconfigs that carry it.
func (ca pair) client(name, user string, groups []string) {
	ca.leaf(name, user, groups, nil)
	ca.kubeconfig(name, name, server)
	if name == "admin" {
		ca.kubeconfig(name, name+"-local", local)
	}
}

func (ca pair) leaf(name, user string, groups, hosts []string) {
	template := template(user, groups)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	sign(name, template, ca.cert, newKey(), ca.key)
}

func template(user string, groups []string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))),
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
	}
}

func sign(name string, template, parent *x509.Certificate, key *ecdsa.PrivateKey, signer crypto.Signer) pair {
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	write(name+".crt", "CERTIFICATE", der, 0o644)
	write(name+".key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)), 0o600)
	return pair{must(x509.ParseCertificate(der)), key}
}

func (ca pair) kubeconfig(name, file, address string) {
	embed := func(name string) string {
		return base64.StdEncoding.EncodeToString(must(os.ReadFile(filepath.Join(dir, name))))
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: springtide
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: springtide
  context: {cluster: springtide, user: %s}
current-context: springtide
`, address, embed("ca.crt"), name, embed(name+".crt"), embed(name+".key"), name)
	check(os.WriteFile(filepath.Join(dir, file+".kubeconfig"), []byte(text), 0o600))
}

func write(name, kind string, der []byte, mode os.FileMode) {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	check(os.WriteFile(filepath.Join(dir, name), block, mode))
}

func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatalf("certs: %v", err)
	}
}

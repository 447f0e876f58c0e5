//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// A fakeAuthority is an ACME authority that believes every signature, and
// looks at what is at addr, whatever the name.
type fakeAuthority struct {
	t    *testing.T
	web  *httptest.Server
	root *x509.Certificate
	key  *ecdsa.PrivateKey

	mu         sync.Mutex
	addr       string // of the server whose names it looks at
	thumbprint string // of the account's key
	host       string // of the order
	valid      bool
	issued     []byte // PEM
	orders     int
}

func newFakeAuthority(t *testing.T) *fakeAuthority {
	a := &fakeAuthority{t: t}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a fake authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.root, _ = x509.ParseCertificate(der)
	a.web = httptest.NewServer(a)
	t.Cleanup(a.web.Close)
	return a
}

// looksAt says where the names are served.
func (a *fakeAuthority) looksAt(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.addr = addr
}

// ServeHTTP implements [http.Handler]. It knows one order at a time.
func (a *fakeAuthority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Replay-Nonce", rand.Text())
	var jws struct{ Protected, Payload string }
	json.NewDecoder(r.Body).Decode(&jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	url := a.web.URL
	state := map[bool]string{false: "pending", true: "valid"}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	type object = map[string]any
	order := func() object {
		o := object{"status": map[bool]string{false: "pending", true: "ready"}[a.valid], "authorizations": []string{url + "/authz"}, "finalize": url + "/finalize", "identifiers": []object{{"type": "dns", "value": a.host}}}
		if a.issued != nil {
			o["status"], o["certificate"] = "valid", url+"/cert"
		}
		return o
	}
	challenge := object{"type": "tls-alpn-01", "url": url + "/challenge", "token": "token", "status": state[a.valid]}
	switch r.URL.Path {
	case "/":
		answer(http.StatusOK, object{"newNonce": url + "/nonce", "newAccount": url + "/account", "newOrder": url + "/order", "meta": object{"termsOfService": url + "/terms"}})
	case "/nonce":
	case "/account":
		a.thumbprint = thumbprint(jws.Protected)
		w.Header().Set("Location", url+"/account/1")
		answer(http.StatusCreated, object{"status": "valid"})
	case "/order":
		var wants struct{ Identifiers []struct{ Value string } }
		json.Unmarshal(payload, &wants)
		a.host, a.valid, a.issued = wants.Identifiers[0].Value, false, nil
		a.orders++
		w.Header().Set("Location", url+"/order/1")
		answer(http.StatusCreated, order())
	case "/order/1":
		answer(http.StatusOK, order())
	case "/authz":
		answer(http.StatusOK, object{"status": state[a.valid], "identifier": object{"type": "dns", "value": a.host}, "challenges": []object{challenge}})
	case "/challenge":
		if err := a.look(); err != nil {
			answer(http.StatusForbidden, object{"type": "urn:ietf:params:acme:error:unauthorized", "detail": err.Error()})
			return
		}
		a.valid, challenge["status"] = true, "valid"
		answer(http.StatusOK, challenge)
	case "/finalize":
		a.issue(payload)
		w.Header().Set("Location", url+"/order/1")
		answer(http.StatusOK, order())
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(a.issued)
	default:
		answer(http.StatusNotFound, object{"type": "urn:ietf:params:acme:error:malformed", "detail": r.URL.Path})
	}
}

// thumbprint is that of the key in a JWS's header.
func thumbprint(protected string) string {
	header, _ := base64.RawURLEncoding.DecodeString(protected)
	var h struct{ JWK struct{ X, Y string } }
	json.Unmarshal(header, &h)
	point := []byte{4} // uncompressed
	for _, s := range []string{h.JWK.X, h.JWK.Y} {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return ""
	}
	print, _ := acme.JWKThumbprint(key)
	return print
}

// look asks the server to show that it has the name (RFC 8737).
func (a *fakeAuthority) look() error {
	if a.addr == "" {
		return fmt.Errorf("nobody answers at port 443 of %s", a.host)
	}
	c, err := tls.Dial("tcp", a.addr, &tls.Config{ServerName: a.host, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	state := c.ConnectionState()
	sum := sha256.Sum256([]byte("token." + a.thumbprint))
	want, _ := asn1.Marshal(sum[:])
	for _, e := range state.PeerCertificates[0].Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && e.Critical && bytes.Equal(e.Value, want) && state.NegotiatedProtocol == acme.ALPNProto {
			return nil
		}
	}
	return fmt.Errorf("%s shows no proof that it is %s (ALPN %q)", a.addr, a.host, state.NegotiatedProtocol)
}

func (a *fakeAuthority) issue(payload []byte) {
	var wants struct{ CSR string }
	json.Unmarshal(payload, &wants)
	der, _ := base64.RawURLEncoding.DecodeString(wants.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		a.t.Errorf("the request for a certificate: %v", err)
		return
	}
	if _, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || strings.Join(csr.DNSNames, " ") != a.host {
		a.t.Errorf("the request is for %v with a %T", csr.DNSNames, csr.PublicKey)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{a.host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err = x509.CreateCertificate(rand.Reader, leaf, a.root, csr.PublicKey, a.key)
	if err != nil {
		a.t.Error(err)
	}
	a.issued = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

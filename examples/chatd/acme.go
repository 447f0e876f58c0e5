package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// How long to wait before an authority is asked again that gave no
// certificate: autocert gives the old answer for a minute.
const (
	acmeRetry    = 2 * time.Minute
	acmeRetryMax = time.Hour
)

// authority has certificates from an ACME authority (RFC 8555), which looks by
// tls-alpn-01 (RFC 8737) whether the names are the server's.
type authority struct {
	d       *daemon
	manager *autocert.Manager
	own     *tls.Certificate
	forget  func() // idle connections to it

	mu    sync.RWMutex
	ready []string // the hosts that there is a certificate for
}

// newACME is the authority of -acme, asked until ctx ends. Who asks for no
// name that it gives a certificate for sees own.
func (d *daemon) newACME(ctx context.Context, own tls.Certificate) *authority {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client := &http.Client{Timeout: 30 * time.Second, Transport: endingWith{ctx, transport}}
	return &authority{
		d: d, own: &own, forget: transport.CloseIdleConnections,
		manager: &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      autocert.DirCache(filepath.Join(d.keptIn(), "acme")),
			HostPolicy: autocert.HostWhitelist(d.acme...),
			Client:     &acme.Client{DirectoryURL: d.acmeDirectory, HTTPClient: client, UserAgent: "parley-chatd"},
			Email:      d.acmeEmail,
		},
	}
}

func (a *authority) config() *tls.Config {
	return &tls.Config{GetCertificate: a.getCertificate, NextProtos: []string{acme.ALPNProto}}
}

// getCertificate never waits for the authority: strangers would have it wait
// for them. A name that there is no certificate for (yet) is shown the server's
// own, which a client takes by its fingerprint.
func (a *authority) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		if !slices.Contains(a.d.acme, host) {
			return nil, fmt.Errorf("%q is not one of -acme", host)
		}
		return a.manager.GetCertificate(hello)
	}
	a.mu.RLock()
	ready := slices.Contains(a.ready, host)
	a.mu.RUnlock()
	if !ready {
		return a.own, nil
	}
	return a.manager.GetCertificate(helloFor(host))
}

// helloFor asks autocert for a certificate as everybody can use it who speaks
// TLS 1.3; it would else take who speaks nothing older for somebody who needs
// one with an RSA key.
func helloFor(host string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}

// obtain gets a certificate for each host that there is none for; autocert
// then renews them.
func (a *authority) obtain(ctx context.Context) {
	var hosts sync.WaitGroup
	for _, host := range a.d.acme {
		hosts.Go(func() { a.obtainOne(ctx, host) })
	}
	hosts.Wait()
	<-ctx.Done()
	a.forget()
}

func (a *authority) obtainOne(ctx context.Context, host string) {
	for wait := acmeRetry; ; wait = min(2*wait, acmeRetryMax) {
		cert, err := a.manager.GetCertificate(helloFor(host))
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			a.mu.Lock()
			a.ready = append(a.ready, host)
			a.mu.Unlock()
			a.d.say("certificate for %s: by %s, until %s", host, a.d.acmeDirectory, cert.Leaf.NotAfter.Format(time.DateOnly))
			return
		}
		a.d.complain("no certificate for %s yet, asking again in %v: %v", host, wait, err)
		if a.d.port != 443 {
			a.d.complain("the authority looks at port 443 of %s; that must lead to port %d of this machine", host, a.d.port)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// endingWith makes requests that end with the server.
type endingWith struct {
	ctx context.Context
	http.RoundTripper
}

var errEnding = errors.New("chatd is ending")

func (e endingWith) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.ctx.Err() != nil {
		return nil, errEnding
	}
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(e.ctx, cancel) // not before: the body is still read
	return e.RoundTripper.RoundTrip(r.WithContext(ctx))
}

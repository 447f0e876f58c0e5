package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// A certificate is where the server has its certificates from.
type certificate struct {
	config *tls.Config
	// own is the certificate that is shown to who asks for no name that there
	// is another for, and whose fingerprint people compare.
	own    func() (*tls.Certificate, error)
	reload func() error              // reads it again; nil: there is nothing to read
	obtain func(ctx context.Context) // gets others until ctx ends
}

// openCertificate finds the server's certificate, and makes one the first
// time.
func (d *daemon) openCertificate(ctx context.Context) (*certificate, error) {
	if d.cert != "" {
		return d.certificateFiles()
	}
	dir := d.keptIn()
	if dir != "" {
		dir = filepath.Join(dir, "tls")
	}
	made, err := chatserver.SelfSigned(dir)
	if err != nil {
		return nil, err
	}
	c := &certificate{
		config: &tls.Config{Certificates: []tls.Certificate{made}},
		own:    func() (*tls.Certificate, error) { return &made, nil },
		obtain: func(context.Context) {},
	}
	if len(d.acme) > 0 {
		a := d.newACME(ctx, made)
		c.config = a.config()
		c.obtain = a.obtain
	}
	return c, nil
}

// certificateFiles is the certificate that somebody else looks after.
func (d *daemon) certificateFiles() (*certificate, error) {
	if info, err := os.Stat(d.key); err == nil {
		d.warn(openToOthers(d.key, info)...)
	}
	files, err := chatserver.CertificateFiles(d.cert, d.key, d.logger)
	if err != nil {
		return nil, err
	}
	return &certificate{
		config: &tls.Config{GetCertificate: files.GetCertificate},
		own:    func() (*tls.Certificate, error) { return files.GetCertificate(nil) },
		reload: files.Reload,
		obtain: func(context.Context) {},
	}, nil
}

// announceCertificate says what a person compares who connects for the first
// time.
func (d *daemon) announceCertificate() error {
	cert, err := d.certificate.own()
	if err != nil {
		return err
	}
	print, err := chatserver.LeafFingerprint(*cert)
	if err != nil {
		return err
	}
	d.say("certificate fingerprint: %s", print)
	if d.cert == "" && d.keptIn() == "" {
		d.say("The certificate is kept in memory only: the next chatd will have another, and clients will refuse it.")
	}
	if leaf := cert.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		d.warn(fmt.Sprintf("the certificate in %s ended on %s", d.cert, leaf.NotAfter.Format(time.DateOnly)))
	}
	return nil
}

package chatserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// The files of SelfSigned, and what the certificate says.
const (
	selfSignedCert = "cert.pem"
	selfSignedKey  = "key.pem"
	selfSignedName = "parley"
	selfSignedFor  = 10 * 365 * 24 * time.Hour
	selfSignedLeft = 30 * 24 * time.Hour // when it is this near its end, it is made anew
)

// SelfSigned returns the certificate that the folder dir keeps for a server
// that nobody vouches for; its clients know it by its key, see
// [LeafFingerprint]. The first call makes folder, key (key.pem, readable by
// its owner alone) and certificate (cert.pem, for ten years). Later ones, of
// other processes at the same time too, find the same key; a certificate that
// is missing, does not fit the key or ends within a month is made anew of it.
func SelfSigned(dir string) (tls.Certificate, error) {
	cert, err := selfSigned(dir)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("chatserver: a self-signed certificate in %s: %w", dir, err)
	}
	return cert, nil
}

func selfSigned(dir string) (tls.Certificate, error) {
	if dir == "" {
		return selfSignedInMemory()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := selfSignedKeyIn(dir)
	if err != nil {
		return tls.Certificate{}, err
	}
	file := filepath.Join(dir, selfSignedCert)
	certPEM, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, err
	}
	if cert, err := tls.X509KeyPair(certPEM, keyPEM); err == nil && time.Until(cert.Leaf.NotAfter) > selfSignedLeft {
		return cert, nil
	}
	if certPEM, err = certify(keyPEM); err != nil {
		return tls.Certificate{}, err
	}
	tmp, err := writeBeside(file, certPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, file); err != nil {
		return tls.Certificate{}, err
	}
	syncFolder(dir)
	return tls.X509KeyPair(certPEM, keyPEM)
}

func selfSignedInMemory() (tls.Certificate, error) {
	keyPEM, err := newKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	certPEM, err := certify(keyPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// newKey makes a key, as PEM.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// selfSignedKeyIn returns the key that dir has. If it has none a new one gets
// its name only if no other process was faster, and only as a whole.
func selfSignedKeyIn(dir string) ([]byte, error) {
	file := filepath.Join(dir, selfSignedKey)
	if b, err := os.ReadFile(file); !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	tmp, err := writeBeside(file, keyPEM)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	syncFolder(dir)
	return os.ReadFile(file)
}

// certify makes a certificate for a key.
func certify(keyPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New(selfSignedKey + " has no key in it")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", selfSignedKey, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s has a key of another kind (%T)", selfSignedKey, parsed)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: selfSignedName},
		DNSNames:     []string{selfSignedName},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(selfSignedFor),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: selfSignedName}}, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// writeBeside writes a new file beside another, for its owner alone, and
// returns its name.
func writeBeside(file string, b []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// syncFolder has the names in a folder survive a crash, where that can be
// asked for: clients would not know a server that lost its key.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}

// LeafFingerprint returns what a person compares a server's key by:
// "sha256:" and 64 hexadecimal digits, of the public key in the certificate.
// It stays the same when the certificate is renewed for the same key.
func LeafFingerprint(cert tls.Certificate) (string, error) {
	leaf := cert.Leaf
	if leaf == nil {
		if len(cert.Certificate) == 0 {
			return "", errors.New("chatserver: no certificate")
		}
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return "", fmt.Errorf("chatserver: parsing a certificate: %w", err)
		}
	}
	return handshake.Fingerprint(leaf.RawSubjectPublicKeyInfo), nil
}

// reloadEvery is how often handshakes look at the files of a
// CertificateReloader.
const reloadEvery = time.Second

// A CertificateReloader is a certificate in two files that somebody else
// renews: a certificate authority's client, say. Handshakes look at the files
// once a second at most, and read them when their time or size has changed.
// As long as the new pair does not load, for a half of it is still to come,
// the old one is used. Any goroutine may call its methods.
type CertificateReloader struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	looked time.Time
	tried  bool
	seen   [2]fileState // of the pair that was tried last, whether it loaded or not
}

// fileState is what tells one version of a file from another.
type fileState struct {
	modified time.Time
	size     int64
}

// CertificateFiles loads a certificate and its key from two PEM files and
// keeps up with them; the GetCertificate of the result is for a tls.Config.
// logger is told of pairs that were or could not be loaded later; nil tells
// nobody.
func CertificateFiles(certFile, keyFile string, logger *slog.Logger) (*CertificateReloader, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	r := &CertificateReloader{certFile: certFile, keyFile: keyFile, logger: logger}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// GetCertificate returns the certificate. It is for tls.Config.GetCertificate.
func (r *CertificateReloader) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if r.mu.TryLock() { // who comes while another looks uses what there is
		changed, err := r.look(time.Now())
		r.mu.Unlock()
		switch {
		case err != nil:
			r.logger.Error("a new certificate could not be loaded; the old one stays", "cert", r.certFile, "key", r.keyFile, "err", err)
		case changed:
			r.logger.Info("a new certificate was loaded", "cert", r.certFile)
		}
	}
	return r.current.Load(), nil
}

// Reload reads the files now, changed or not. If they do not load it returns
// why, and the old certificate stays.
func (r *CertificateReloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried, r.looked = false, time.Time{}
	_, err := r.look(time.Now())
	return err
}

// look reads the files if it is time to and they have changed. The caller
// holds mu.
func (r *CertificateReloader) look(now time.Time) (loaded bool, err error) {
	if now.Sub(r.looked) < reloadEvery {
		return false, nil
	}
	r.looked = now
	var seen [2]fileState
	for i, file := range []string{r.certFile, r.keyFile} {
		info, err := os.Stat(file)
		if err == nil {
			seen[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	if r.tried && seen == r.seen {
		return false, nil
	}
	r.tried, r.seen = true, seen
	cert, err := tls.LoadX509KeyPair(r.certFile, r.keyFile)
	if err != nil {
		return false, fmt.Errorf("chatserver: loading a certificate: %w", err)
	}
	r.current.Store(&cert)
	return true, nil
}

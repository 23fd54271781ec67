package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is the certificate that the server shows and its key. The files are read
// again when they have changed, so that a renewal needs no restart.
type keyPair struct {
	cert, key string // PEM files
	log       *slog.Logger

	mu    sync.Mutex
	shown *tls.Certificate
	seen  [2]os.FileInfo // of the files when they were last read
}

func openKeyPair(cert, key string, log *slog.Logger) (*keyPair, error) {
	p := &keyPair{cert: cert, key: key, log: log}
	if err := p.read(); err != nil {
		return nil, fmt.Errorf("tls: %w; write the PEM files of a certificate and its key", err)
	}
	return p, nil
}

// read takes what the files hold. They are looked at before: a change that comes in
// between is seen the next time.
func (p *keyPair) read() error {
	seen, err := p.look()
	if err != nil {
		return err
	}
	p.seen = seen
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return err
	}
	p.shown = &pair
	return nil
}

func (p *keyPair) look() (seen [2]os.FileInfo, err error) {
	for i, path := range []string{p.cert, p.key} {
		if seen[i], err = os.Stat(path); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

// get is tls.Config.GetCertificate. Files that are gone or do not fit each other, as
// between the two writes of a renewal, leave the certificate as it is; why is logged
// once for each state of the files.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, err := p.look()
	if err != nil || (same(seen[0], p.seen[0]) && same(seen[1], p.seen[1])) {
		return p.shown, nil
	}
	if err := p.read(); err != nil {
		p.log.Warn("the certificate was changed and can't be used: the one before is still shown", "cert", p.cert, "key", p.key, "err", err)
		return p.shown, nil
	}
	p.log.Info("the certificate was changed", "cert", p.cert, "ends", p.shown.Leaf.NotAfter.Format(time.RFC3339))
	return p.shown, nil
}

// same says that a file was not written in between, nor put in another's place.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

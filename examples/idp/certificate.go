package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// keyPair is the certificate that the server shows and its key. The files are read
// again at each full handshake, so that a renewal needs no restart.
type keyPair struct {
	cert, key string // PEM files
	log       *slog.Logger
	shown     atomic.Pointer[tls.Certificate]

	reading sync.Mutex
	read    [2][]byte // what was in the files when they were taken
	told    string    // the last problem that was logged
}

func openKeyPair(cert, key string, log *slog.Logger) (*keyPair, error) {
	p := &keyPair{cert: cert, key: key, log: log}
	_, err := p.take()
	return p, err
}

// take takes what the files hold, if it is not what is shown.
func (p *keyPair) take() (changed bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tls: %w; write the PEM files of a certificate and its key", err)
		}
	}()
	cert, err := os.ReadFile(p.cert)
	if err != nil {
		return false, err
	}
	key, err := os.ReadFile(p.key)
	if err != nil {
		return false, err
	}
	if bytes.Equal(cert, p.read[0]) && bytes.Equal(key, p.read[1]) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, err
	}
	p.shown.Store(&pair)
	p.read = [2][]byte{cert, key}
	return true, nil
}

// get is tls.Config.GetCertificate. Files that can't be read or do not fit each other,
// as between the two writes of a renewal, leave the certificate as it is, and why is
// logged once. Who comes while another reads does not wait: a disk may hang.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p.reading.TryLock() {
		defer p.reading.Unlock()
		p.renew()
	}
	return p.shown.Load(), nil
}

func (p *keyPair) renew() {
	changed, err := p.take()
	ends := slog.String("ends", p.shown.Load().Leaf.NotAfter.UTC().Format(time.RFC3339))
	switch {
	case err != nil && err.Error() != p.told:
		p.told = err.Error()
		p.log.Warn("the files of the certificate can't be used: the one before is still shown", "cert", p.cert, "key", p.key, ends, "err", err)
	case err == nil:
		p.told = ""
	}
	if changed {
		p.log.Info("the certificate was renewed", "cert", p.cert, ends)
	}
}

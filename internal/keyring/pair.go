package keyring

import (
	"crypto/x509"
	"fmt"

	"github.com/doorward/doorward/internal/jws"
)

// generate makes a key pair in the form it is stored in.
func generate(alg string) (key, error) {
	signer, err := jws.Generate(alg)
	if err != nil {
		return key{}, err
	}
	pair, err := jws.New(alg, signer)
	if err != nil {
		return key{}, err
	}
	private, err := jws.MarshalPrivate(signer)
	if err != nil {
		return key{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return key{}, fmt.Errorf("keyring: encode a public key: %w", err)
	}
	return key{ID: pair.ID, Algorithm: alg, Public: public, Private: private}, nil
}

// parsePublic returns the key for verification.
func (k *key) parsePublic() (jws.Key, error) {
	public, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return jws.Key{}, fmt.Errorf("keyring: key %s: %w", k.ID, err)
	}
	return k.named(jws.NewPublic(k.Algorithm, public))
}

// parsePrivate returns the key for signing.
func (k *key) parsePrivate() (jws.Key, error) {
	signer, err := jws.ParsePrivate(k.Private)
	if err != nil {
		return jws.Key{}, fmt.Errorf("keyring: key %s: %w", k.ID, err)
	}
	return k.named(jws.New(k.Algorithm, signer))
}

// named holds a parsed key to the name it is stored under.
func (k *key) named(parsed jws.Key, err error) (jws.Key, error) {
	if err != nil {
		return jws.Key{}, fmt.Errorf("keyring: key %s: %w", k.ID, err)
	}
	if parsed.ID != k.ID {
		return jws.Key{}, fmt.Errorf("%w: the stored key %s has the thumbprint %s", jws.ErrKey, k.ID, parsed.ID)
	}
	return parsed, nil
}

package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/internal/seal"
)

// KeyWrapper is a key service, as the KMS of a cloud or an HSM, that wraps a key of the
// store under a key which never leaves it. It is asked when a Store is opened, and again
// when another replica has brought the store to another service; never by a request.
type KeyWrapper interface {
	// ID names the service and its key, as the ARN of a key does. It is kept beside
	// what was wrapped, not sealed, and must not change.
	ID() string

	// Wrap encrypts 32 bytes, so that Unwrap can open them, also in years.
	Wrap(ctx context.Context, plain []byte) ([]byte, error)

	// Unwrap decrypts what Wrap made. An error refuses the start.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// wrapperTime is how long a key service may take for one answer.
const wrapperTime = 10 * time.Second

// keeping is what opens and closes the envelope: secrets, or a secret that a key service
// keeps wrapped.
type keeping struct {
	secrets         [][]byte
	service, former KeyWrapper

	mu     sync.Mutex
	opened map[string][]byte // secrets by their wrapped form, so that the service is asked once
}

// named returns the service of that name, nil when none has it.
func (k *keeping) named(id string) KeyWrapper {
	for _, w := range []KeyWrapper{k.service, k.former} {
		if w != nil && w.ID() == id {
			return w
		}
	}
	return nil
}

// unwrap returns the secret that a service has wrapped.
func (k *keeping) unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	w := k.named(id)
	if w == nil {
		return nil, fmt.Errorf("%w: the data keys are wrapped by the key service %q, which is not configured: set KeyWrapper to it, or FormerKeyWrapper to leave it", ErrInvalid, id)
	}
	k.mu.Lock()
	secret := k.opened[string(wrapped)]
	k.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wrapperTime)
	defer cancel()
	secret, err := w.Unwrap(ctx, wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: the key service %q did not unwrap the key of this database; see that it is in reach and allows it: %w", ErrUnavailable, id, err)
	}
	if len(secret) < seal.KeySize {
		return nil, fmt.Errorf("%w: the key service %q unwrapped %d bytes, where %d were wrapped", ErrInvalid, id, len(secret), seal.KeySize)
	}
	k.remember(wrapped, secret)
	return secret, nil
}

// wrap makes a secret and has it wrapped by the service.
func (k *keeping) wrap(ctx context.Context) (secret, wrapped []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, wrapperTime)
	defer cancel()
	secret = opaque.Random(seal.KeySize)
	wrapped, err = k.service.Wrap(ctx, append([]byte(nil), secret...))
	if err == nil && len(wrapped) == 0 {
		err = errors.New("it answered nothing")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the key service %q did not wrap the key of this database; see that it is in reach and allows it: %w", ErrUnavailable, k.service.ID(), err)
	}
	return secret, wrapped, nil
}

func (k *keeping) remember(wrapped, secret []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened = map[string][]byte{string(wrapped): secret} // one: an envelope has no other
}

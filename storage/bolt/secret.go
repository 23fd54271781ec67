package bolt

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	bbolt "go.etcd.io/bbolt"

	"github.com/doorward/doorward/storage"
)

const (
	keySuffix  = ".key"
	secretSize = 32
)

// Secret implements storage.SecretKeeper. The secret is one line of hexadecimal
// digits in a file beside the database, whose name ends in .key. It is created only
// for a database without records: in any other the file was there and is lost, or
// the secret is configured, and a new one would not open what was sealed.
func (b *Backend) Secret(ctx context.Context, create bool) ([]byte, error) {
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	b.secrets.Lock()
	defer b.secrets.Unlock()
	path := b.path + keySuffix
	secret, err := readSecret(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if create {
		create, err = b.fresh()
		if err != nil {
			return nil, err
		}
	}
	if !create {
		return nil, fmt.Errorf("bolt: the secret of %s was expected in %s: put that file back, or configure the secret", b.path, path)
	}
	if err := createSecret(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: bolt: %s can't be created: %w", storage.ErrUnavailable, path, err)
	}
	return readSecret(path)
}

// fresh says whether the database has no record yet.
func (b *Backend) fresh() (is bool, err error) {
	err = b.read(func(tx *bbolt.Tx) error {
		name, _ := tx.Cursor().Seek([]byte{recordBucket})
		is = len(name) == 0 || name[0] != recordBucket
		return nil
	})
	return is, err
}

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	if err := checkMode(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 4*secretSize))
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("bolt: %s does not hold a secret, which is one line of %d hexadecimal digits: restore it from a backup", path, 2*secretSize)
	}
	return secret, nil
}

func createSecret(path string) error {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // documented never to fail: the process ends instead
	return place(path, func(temporary string) error {
		return os.WriteFile(temporary, []byte(hex.EncodeToString(secret)+"\n"), 0o600)
	})
}

// checkKey refuses a secret without its database: a new database under an old secret
// would be a silent loss of everything.
func checkKey(path string) error {
	key := path + keySuffix
	info, err := os.Stat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bolt: %s is missing though its secret %s is there: restore the database, or move the secret away to begin anew", path, key)
	}
	return checkMode(key, info)
}

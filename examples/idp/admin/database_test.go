package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/doorward/doorward/examples/idp/admin"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
)

// broken is an API whose database has faults.
type broken struct {
	*admin.Local
	after int // bytes of a backup that come
}

var errBroken = errors.New("admin: broken")

func (b *broken) Backup(_ context.Context, w io.Writer) (int64, error) {
	if b.after > 0 {
		if _, err := w.Write(make([]byte, b.after)); err != nil {
			return 0, err
		}
	}
	return int64(b.after), errBroken
}

func (b *broken) Check(context.Context) (admin.Checked, error) {
	return admin.Checked{}, errors.Join(storage.ErrDamaged, errBroken)
}

// A backup that breaks off must not look whole on the other side.
func TestBrokenBackupIsAnErrorThere(t *testing.T) {
	for _, after := range []int{0, 10, 1 << 20} {
		remote := serve(t, &broken{newLocal(t), after})
		_, err := remote.Backup(t.Context(), io.Discard)
		if err == nil || after == 0 && !strings.Contains(err.Error(), "broken") {
			t.Errorf("a backup that broke off after %d bytes: %v", after, err)
		}
		if _, err := remote.Check(t.Context()); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), "broken") {
			t.Errorf("damage over the socket: %v", err)
		}
	}
}

func TestBackupOverTheSocket(t *testing.T) {
	b, err := bolt.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	local := newLocal(t)
	local.Backend = b
	var here, there bytes.Buffer
	if _, err := local.Backup(t.Context(), &here); err != nil {
		t.Fatal(err)
	}
	n, err := serve(t, local).Backup(t.Context(), &there)
	if err != nil || n != int64(here.Len()) || !bytes.Equal(here.Bytes(), there.Bytes()) {
		t.Errorf("%d of %d bytes came, or others: %v", n, here.Len(), err)
	}
}

func TestWithoutAFile(t *testing.T) {
	local := newLocal(t)
	remote := serve(t, local)
	if _, err := remote.Backup(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "no file of this server") {
		t.Errorf("a backup says %v", err)
	}
	_, statsErr := remote.Stats(t.Context())
	_, checkErr := remote.Check(t.Context())
	for _, err := range []error{statsErr, checkErr} {
		if err == nil || !strings.Contains(err.Error(), "can't be counted") {
			t.Errorf("it says %v", err)
		}
	}
}

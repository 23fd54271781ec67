package bolt

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorward/doorward/storage"
)

func TestRecordIsCompact(t *testing.T) {
	r := storage.Record{Revision: 1, Value: []byte("value")}
	if n := len(encodeRecord(&r)) - len(r.Value); n != 2 {
		t.Errorf("a plain record takes %d bytes beside its value, want 2", n)
	}
}

func TestExpiryNeverBecomesNever(t *testing.T) {
	for _, expiry := range []time.Time{time.Time{}.Add(1), time.Time{}.Add(time.Millisecond - 1), time.Unix(-1, 999_999_999)} {
		r, err := decodeRecord(storage.Key{}, encodeRecord(&storage.Record{Revision: 1, Expiry: expiry}))
		if err != nil || r.Expiry.IsZero() || r.Expiry.After(expiry) {
			t.Errorf("expiry %v became %v, error %v", expiry, r.Expiry, err)
		}
	}
}

func TestExpiryKeysAreOrderedByTime(t *testing.T) {
	var last []byte
	for _, ms := range []int64{math.MinInt64, -1_000_000, -1, 0, 1, 1 << 40, math.MaxInt64} {
		key := expiryKey(ms, "id")
		if bytes.Compare(last, key) >= 0 {
			t.Errorf("the key of %d is not behind the one before", ms)
		}
		back, id, err := parseExpiryKey(key)
		if back != ms || string(id) != "id" || err != nil {
			t.Errorf("%d came back as %d, %q, %v", ms, back, id, err)
		}
		last = key
	}
}

func TestSuccessor(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "\x00": "\x01", "\xff\xff": "", "": ""} {
		if got := string(successor([]byte(prefix))); got != want {
			t.Errorf("the successor of %q is %q, want %q", prefix, got, want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	full := storage.Record{
		Revision: 1 << 40, Expiry: time.UnixMilli(-5), Value: []byte("v"),
		Index: []storage.Index{{Name: "a", Value: ""}, {Name: "b", Value: "c"}},
	}
	f.Add(encodeRecord(&full))
	f.Add(encodeRecord(&storage.Record{Revision: 1}))
	f.Add([]byte{})
	f.Add([]byte{hasIndex, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{hasIndex, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeRecord(storage.Key{ID: "id"}, raw)
		if err != nil {
			return
		}
		if r.Revision == 0 {
			t.Fatal("a record without revision, which stands for none, was decoded")
		}
		again, err := decodeRecord(storage.Key{ID: "id"}, encodeRecord(&r))
		if err != nil {
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		if r.Expiry.IsZero() != again.Expiry.IsZero() {
			return // the zero time stands for never; encodeRecord does not write it
		}
		if diff := cmp.Diff(copyRecord(r), copyRecord(again)); diff != "" {
			t.Error(diff)
		}
	})
}

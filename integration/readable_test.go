package integration

import (
	"bytes"
	"regexp"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/doorward/doorward/storage"
)

// shapes are the forms of the IDs of every kind of record, as docs/operate.md tells what
// stands in the clear. Client stands for the ID of any client.
func shapes() map[string]*regexp.Regexp {
	const (
		hash   = `[A-Za-z0-9_-]{24}` // storage.Store.Lookup, of no use without the lookup key
		random = `[0-9a-v]{26}`      // opaque.NewID
		token  = `[\x00-\xff]{38}`   // opaque.TokenKey: a time, and the SHA-256 of 256 random bits
	)
	all := map[string]*regexp.Regexp{}
	for kind, shape := range map[string]string{
		"client": "client", "grant": random, "access": token, "session": token, "interaction": token, "pushed": token,
		"consent": hash, "participant": hash, "epoch": hash, "device": hash, "assertion": hash, "proof": hash,
		"revoked-jwt": random, "initial-token": random, "outbox": random, "keys": "signing", "envelope": "keys",
		"login-failures": hash, "login-slot": hash + `\|(` + hash + `|known|strangers)`, "device-failures": hash,
		"registrations": hash + `|all [0-9T-]{13}`, "initial-token-used": random, "refresh-repeat": random + `\.[0-9]+`,
	} {
		all[kind] = regexp.MustCompile("^(" + shape + ")$")
	}
	return all
}

// readable holds all that is not sealed to what docs/operate.md says of it.
func (v *victim) readable(loot []byte) {
	v.t.Helper()
	ctx := v.t.Context()
	for _, clear := range []string{v.issuer, "generated", "keyed", "login-failures"} {
		if !bytes.Contains(loot, []byte(clear)) {
			v.t.Errorf("%q is not readable; the documentation says so, or this test does not see the database", clear)
		}
	}
	census, ok := storage.As[storage.Census](v.backend)
	if !ok {
		v.t.Fatal("the backend can't be counted")
	}
	tallies, err := census.Count(ctx, time.Time{})
	if err != nil {
		v.t.Fatal(err)
	}
	want := shapes()
	for _, of := range tallies {
		shape := want[of.Kind]
		if shape == nil {
			v.t.Errorf("what is readable of %s is not told: add it to shapes and to docs/operate.md", of.Kind)
			continue
		}
		delete(want, of.Kind)
		records, err := v.backend.List(ctx, storage.Query{Namespace: of.Namespace, Kind: of.Kind, Limit: storage.MaxPage})
		if err != nil {
			v.t.Fatal(err)
		}
		for i := range records {
			v.readableOf(&records[i], shape)
		}
	}
	for kind := range want {
		v.t.Errorf("there was no %s to steal; this test proves nothing of it", kind)
	}
	own, err := storage.Open(ctx, v.backend, storage.Options{Namespace: v.issuer, Secrets: [][]byte{v.secret}, Clock: v.now})
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := own.Check(ctx); err != nil {
		v.t.Errorf("not all is sealed: %v", err)
	}
}

func (v *victim) readableOf(r *storage.Record, shape *regexp.Regexp) {
	v.t.Helper()
	if id := v.asClient(r.Kind, r.ID); !shape.MatchString(byBytes(id)) {
		v.t.Errorf("the ID of a %s is readable: %q", r.Kind, r.ID)
	}
	hashed := shapes()["consent"]
	for _, entry := range r.Index {
		if v.asClient(entry.Name, entry.Value) != "client" && !hashed.MatchString(entry.Value) {
			v.t.Errorf("what a %s is listed by is readable: %q", r.Kind, entry)
		}
	}
	switch r.Kind {
	case "envelope": // wrapped, see keys
	case "login-failures", "login-slot", "device-failures", "registrations", "initial-token-used", "refresh-repeat":
		if len(r.Value) != 8 {
			v.t.Errorf("a counter of %s is more than a number: %q", r.Kind, r.Value)
		}
	default:
		const schema = 2 // bytes before what is sealed
		if len(r.Value) < schema+sealHeader+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead || r.Value[schema] != 1 {
			v.t.Errorf("a %s is not sealed: %q", r.Kind, r.Value)
		}
	}
}

// byBytes makes a character of each byte, for a pattern.
func byBytes(s string) string {
	var all []rune
	for _, b := range []byte(s) {
		all = append(all, rune(b))
	}
	return string(all)
}

// asClient replaces the ID of a client by the word.
func (v *victim) asClient(name, value string) string {
	if name == "client" && v.known[value] {
		return "client"
	}
	return value
}

package jws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v3"

	"github.com/doorward/doorward/internal/jws"
)

func TestReadSet(t *testing.T) {
	rs, es, ed := generate(t, jws.RS256), generate(t, jws.ES256), generate(t, jws.EdDSA)
	public := func(k jws.Key, change func(*jose.JSONWebKey)) string {
		jwk := jose.JSONWebKey{Key: k.Public, KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"}
		if change != nil {
			change(&jwk)
		}
		body, err := jwk.MarshalJSON()
		check(t, err)
		return string(body)
	}
	private := public(es, func(j *jose.JSONWebKey) { j.Key, j.KeyID = es.Signer, "private" })
	set := `{"keys":[` + strings.Join([]string{
		public(rs, nil),
		public(es, func(j *jose.JSONWebKey) { j.Algorithm, j.Use = "", "" }),
		public(ed, nil),
		public(ed, func(j *jose.JSONWebKey) { j.KeyID = rs.ID }), // a name that is taken
		public(es, func(j *jose.JSONWebKey) { j.KeyID, j.Use = "encrypts", "enc" }),
		public(es, func(j *jose.JSONWebKey) { j.KeyID = "" }),
		public(rs, func(j *jose.JSONWebKey) { j.KeyID, j.Algorithm = "other", "RS512" }),
		private,
		`{"kty":"oct","kid":"secret","k":"c2VjcmV0","alg":"HS256"}`,
		`{"kty":"brand new","kid":"new"}`,
		`{"kty":"RSA","kid":"broken"}`, `7`, `null`,
	}, ",") + `]}`
	keys, err := jws.ReadSet([]byte(set))
	check(t, err)
	var got []string
	for _, k := range keys {
		got = append(got, k.ID+" "+k.Algorithm)
	}
	want := []string{rs.ID + " RS256", es.ID + " ES256", ed.ID + " EdDSA"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	for _, k := range []jws.Key{rs, es, ed} {
		if _, _, err := jws.Verify(sign(t, k), ring(keys...)); err != nil {
			t.Errorf("%s: %v", k.Algorithm, err)
		}
	}
}

func TestReadSetRefuses(t *testing.T) {
	many, err := json.Marshal(map[string]any{"keys": make([]int, 65)})
	check(t, err)
	for _, body := range []string{"", "[]", "{}", `{"keys":null}`, `{"keys":{}}`, "<html>", string(many)} {
		if _, err := jws.ReadSet([]byte(body)); !errors.Is(err, jws.ErrForm) {
			t.Errorf("%.20q: %v, want ErrForm", body, err)
		}
	}
	if keys, err := jws.ReadSet([]byte(`{"keys":[]}`)); err != nil || len(keys) != 0 {
		t.Errorf("an empty set gives %v, %v", keys, err)
	}
}

package storage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill sets every field of a struct, however deep, to something of its own.
func fill(t testing.TB, v reflect.Value, count *int) {
	t.Helper()
	*count++
	n := *count
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Date(2026, 11, 26, 4, 5, 6, n, time.UTC)
		return
	case *AskedClaims: // holds anything: encoding/json's
		return
	case *map[string]any:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(t, f, count)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), count)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), count)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(n))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n))
	default:
		t.Fatalf("no value for a %s: teach fill", v.Type())
	}
}

// A field that is added to a record and forgotten in its form shows here.
func TestFormsHaveEveryField(t *testing.T) {
	for _, full := range []formed{new(Grant), new(AccessToken)} {
		v := reflect.ValueOf(full).Elem()
		t.Run(v.Type().Name(), func(t *testing.T) {
			var count int
			fill(t, v, &count)
			sameForm(t, full, true)
			form, _ := full.appendJSON(nil)
			read := reflect.New(v.Type())
			if at, ok := full.(*AccessToken); ok {
				read.Interface().(*AccessToken).Key = at.Key // no part of the form
			}
			if !read.Interface().(formed).parseJSON(form) {
				t.Fatalf("not read: %s", form)
			}
			if diff := cmp.Diff(v.Interface(), read.Elem().Interface()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFormsLeaveTheOddToJSON(t *testing.T) {
	at := time.Date(2026, 11, 26, 4, 5, 6, 7000, time.UTC)
	for name, g := range map[string]Grant{
		"a quote":            {Subject: `a"b`},
		"a letter":           {Subject: "Zoë"},
		"invalid UTF-8":      {Subject: "\xff"},
		"a tag":              {Nonce: "<b>&"},
		"a line":             {Scopes: []string{"a\nb"}},
		"another zone":       {CreatedAt: at.In(time.FixedZone("", 3600))},
		"a year too many":    {CreatedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
		"tries below zero":   {Code: &Code{WrongTries: -1}},
		"claims asked for":   {Asked: AskedClaims{IDToken: map[string]AskedClaim{"email": {Essential: true, Value: json.Number("12345678901234567890")}}}},
		"nothing":            {},
		"a code of nothing":  {Code: &Code{Hash: []byte{}}},
		"a chain of nothing": {Refresh: &Refresh{Salt: []byte{}}},
	} {
		t.Run(name, func(t *testing.T) { sameForm(t, &g, false) })
	}
	sameForm(t, &AccessToken{Claims: map[string]any{"org": "<a>"}}, true)
	for _, form := range []string{
		"", "{}", "null", `{"id":"a"} `, ` {"id":"a"}`, `{"id":"a",}`, `{,"id":"a"}`, `{"id":"a"}{}`, `{"id":"a"`, `{"ID":"a"}`,
		`{"sub":"b","id":"a"}`, `{"id":"a","id":"b"}`, `{"id":null}`, `{"id":"\u0061"}`, `{"id":"a","later":1}`, `{"scopes":[]}`,
		`{"scopes":["a",]}`, `{"scopes":["a"`, `{"scopes":null}`, `{"stamp":{"subject":01}}`, `{"stamp":{"subject":-1}}`,
		`{"stamp":{"subject":18446744073709551616}}`, `{"stamp":{"subject":1.0}}`, `{"stamp":{"subject":1`, `{"stamp":null}`,
		`{"code":null}`, `{"code":{"hash":"!"}}`, `{"code":{"hash":null}}`, `{"code":{"uri_sent":false}}`, `{"code":{"uri_sent":tru`,
		`{"refresh":{"generation":4294967296}}`, `{"created_at":"2026-11-26 04:05:06Z"}`, `{"created_at":"2026-11-26T04:05:06+01:00"}`,
	} {
		sameValue(t, &Grant{}, &Grant{}, []byte(form))
	}
}

// sameForm holds the form of a value to that of encoding/json.
func sameForm(t *testing.T, value formed, must bool) {
	t.Helper()
	form, ok := value.appendJSON(nil)
	if !ok {
		if must {
			t.Errorf("%+v is left to encoding/json", value)
		}
		return
	}
	want, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("%s is no JSON: %v", form, err)
	}
	if diff := cmp.Diff(string(want), string(form)); diff != "" {
		t.Error(diff)
	}
}

// sameValue holds what is read of a form to what encoding/json reads.
func sameValue(t *testing.T, value, want formed, form []byte) {
	t.Helper()
	if !value.parseJSON(form) {
		if diff := cmp.Diff(want, value); diff != "" {
			t.Errorf("%q was given up, and something of it kept:\n%s", form, diff)
		}
		return
	}
	d := json.NewDecoder(strings.NewReader(string(form)))
	d.UseNumber()
	if err := d.Decode(want); err != nil {
		t.Fatalf("%q was read, which is no JSON of it: %v", form, err)
	}
	if diff := cmp.Diff(want, value); diff != "" {
		t.Errorf("%q:\n%s", form, diff)
	}
}

// What a form says is what encoding/json makes of it, and is written as encoding/json
// writes it.
func FuzzForm(f *testing.F) {
	var count int
	for _, full := range []formed{new(Grant), new(AccessToken)} {
		fill(f, reflect.ValueOf(full).Elem(), &count)
		form, _ := full.appendJSON(nil)
		f.Add(form)
	}
	f.Add([]byte(`{"id":"a","client_id":"b","sub":"Zo\u00eb","asked":{"id_token":{"email":{}}},"created_at":"0001-01-01T00:00:00Z","expires_at":"2026-11-26T04:05:06.5+01:00"}`))
	f.Add([]byte(`{"client_id":"b","sub":"b","claims":{"n":1},"iat":"0001-01-01T00:00:00Z","exp":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, form []byte) {
		sameValue(t, &Grant{}, &Grant{}, form)
		sameValue(t, &AccessToken{}, &AccessToken{}, form)
		var g Grant
		if json.Unmarshal(form, &g) == nil {
			sameForm(t, &g, false)
		}
		var a AccessToken
		if json.Unmarshal(form, &a) == nil {
			sameForm(t, &a, false)
		}
	})
}

package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// What a thief of the database gets, of the file without its key or of a dump of
// PostgreSQL: no token, code, secret, cookie or private key in any form, and nothing that
// tells who the people are. RFC 6819 §5.1.4.1
func TestThiefOfTheStore(t *testing.T) {
	for _, backend := range []string{"bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			robot := newRobot(t)
			p := plan{backend: backend, dir: t.TempDir(), configure: func(c *server.Config) {
				withDevices(c)
				c.Clients = append(c.Clients, robot.client())
			}}
			if backend == "postgres" {
				p.dsn = databases.Database(t)
			}
			w := start(t, p)
			robot.w = w
			kept := &secrets{known: map[string]string{}}
			for name, password := range people {
				kept.add("a password", password)
				kept.add("a person", name+"@people.test")
			}
			for _, c := range w.clients {
				kept.add("a secret of the configuration", string(c.Secret))
			}
			for _, fact := range []string{"1852-05-04", "+441632960961"} {
				kept.add("a person", fact)
			}
			for _, client := range []string{"web", "spa", "strict"} {
				flowsOf(t, w, kept, client)
			}
			moreFlows(t, robot, kept)
			keysOf(t, w, kept)

			stolen := dump(t, w, p)
			look := func() (found []string) {
				for value, what := range kept.known {
					for form, written := range everyForm(value) {
						if bytes.Contains(stolen, []byte(written)) {
							found = append(found, what+form)
						}
					}
				}
				return found
			}
			for _, what := range look() {
				t.Errorf("%s can be read", what)
			}
			if bytes.Contains(stolen, []byte("alice")) {
				t.Error("the name of a person can be read")
			}
			kinds := map[string]int{}
			for _, what := range kept.known {
				kinds[what]++
			}
			t.Logf("%d values were looked for in %d bytes: %v", len(kept.known), len(stolen), kinds)
			for _, what := range []string{
				"a cookie", "a code", "a verifier", "an access token", "a refresh token", "an ID token", "an interaction", "a user code", "a device code",
				"a pushed request", "an assertion", "a jti", "a client's secret", "a registration token", "a private key", "a person",
			} {
				if kinds[what] == 0 {
					t.Errorf("nothing of the kind %q was met; the test proves nothing about it", what)
				}
			}

			// It would be seen: here is one of them, unsealed, in an index and in a key.
			leaks := storage.Collect(w.server.Store(), "leak", 1, func(l *struct{ Code string }) storage.Meta {
				return storage.Meta{ID: "x" + hex.EncodeToString([]byte(l.Code)), Index: []storage.Index{{Name: "code", Value: l.Code}}}
			})
			if err := leaks.Insert(t.Context(), &struct{ Code string }{"a-value-that-lies-open"}); err != nil {
				t.Fatal(err)
			}
			kept.known = map[string]string{"a-value-that-lies-open": "leaked"}
			stolen = dump(t, w, p)
			if found := look(); !slices.Contains(found, "leaked") || !slices.Contains(found, "leaked in hexadecimal") {
				t.Errorf("a value that lies open in two places was found as %q", found)
			}
		})
	}
}

// moreFlows are those that flowsOf does not have.
func moreFlows(t *testing.T, r *robot, kept *secrets) {
	t.Helper()
	w := r.w
	must := func(answer *reply, err error) *reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		kept.addTokens(answer)
		return answer
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	plain := &http.Client{Transport: listener{w, kept}}

	begun := must(send(plain, http.MethodPost, w.endpoint("device_authorization"), form, url.Values{"client_id": {"tv"}, "scope": {"openid offline_access"}}.Encode()))
	kept.add("a device code", begun.text("device_code"))
	kept.add("a user code", begun.text("user_code"))
	kept.add("a user code", strings.ReplaceAll(begun.text("user_code"), "-", ""))
	if err := listening(t, w, kept).answerDevice(w, begun.text("verification_uri_complete"), "allow"); err != nil {
		t.Fatal(err)
	}
	poll := url.Values{"client_id": {"tv"}, "grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}}
	if answer := must(send(plain, http.MethodPost, w.endpoint("token"), form, poll.Encode())); answer.text("access_token") == "" {
		t.Errorf("the device got no token: %s", answer)
	}
	waiting := must(send(plain, http.MethodPost, w.endpoint("device_authorization"), form, url.Values{"client_id": {"tv"}, "scope": {"openid"}}.Encode()))
	kept.add("a device code", waiting.text("device_code")) // still there when the thief comes
	kept.add("a user code", waiting.text("user_code"))

	pushed := must(w.post("par", "web", w.authorizeParams("web", "a-verifier-of-a-pushed-request-0123456789abc", url.Values{"state": {"a-state-of-a-pushed-request"}, "login_hint": {"alice@people.test"}})))
	uri := pushed.text("request_uri")
	kept.add("a pushed request", uri[strings.LastIndexByte(uri, ':')+1:])
	kept.add("a verifier", "a-verifier-of-a-pushed-request-0123456789abc")
	kept.add("a state", "a-state-of-a-pushed-request")

	const jti = "a-jti-of-an-assertion-0123456789"
	assertion := r.assert(map[string]any{"jti": jti})
	kept.add("a jti", jti)
	kept.add("an assertion", assertion)
	if answer := must(r.post(t, "token", assertion, machineGrant), nil); answer.text("access_token") == "" {
		t.Errorf("the robot got no token: %s", answer)
	}

	_, secret, err := w.server.Clients().Create(t.Context(), storage.Client{ID: "stored", Scope: "notes:read", DefaultScope: "notes:read"})
	if err != nil {
		t.Fatal(err)
	}
	kept.add("a client's secret", string(secret))
	if secret, err = w.server.Clients().RotateSecret(t.Context(), "stored", 0); err != nil {
		t.Fatal(err)
	}
	kept.add("a client's secret", string(secret))
	_, secret, err = w.server.Clients().Create(t.Context(), storage.Client{ // it is kept, to verify what it signs
		ID: "signs", TokenEndpointAuthMethod: storage.AuthMethodSecretJWT, Scope: "notes:read", DefaultScope: "notes:read",
	})
	if err != nil {
		t.Fatal(err)
	}
	kept.add("a client's secret", string(secret))
	made := must(w.registers(http.MethodPost, w.endpoint("register"), "", `{"redirect_uris":["https://new.test/cb"],"scope":"openid","client_name":"A client that registered itself"}`))
	kept.add("a client's secret", made.text("client_secret"))
	kept.add("a registration token", made.text("registration_access_token"))
	kept.add("a client's name", "A client that registered itself")
}

// keysOf notes the private parts of the signing keys.
func keysOf(t *testing.T, w *world, kept *secrets) {
	t.Helper()
	type set struct {
		Keys []struct {
			Private []byte `json:"private"`
		} `json:"keys"`
	}
	found, err := storage.Collect(w.server.Store(), "keys", 1, func(*set) storage.Meta { return storage.Meta{ID: "signing"} }).Get(t.Context(), "signing")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range found.Keys {
		if len(k.Private) > 0 {
			kept.add("a private key", string(k.Private))
			kept.add("a private key", string(k.Private[len(k.Private)/3:][:24])) // also of another encoding
		}
	}
}

// hexadecimal are bytes as PostgreSQL writes them.
var hexadecimal = regexp.MustCompile(`\\x([0-9a-f]{2,})`)

// dump is all that a thief has: the file, or every row of every table with its bytes as
// they are.
func dump(t *testing.T, w *world, p plan) []byte {
	t.Helper()
	if p.backend == "bolt" {
		all, err := os.ReadFile(filepath.Join(p.dir, "doorward.db"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	conn, err := pgx.Connect(t.Context(), p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var all bytes.Buffer
	for _, table := range []string{"layout", "clock", "records", "entries"} {
		if _, err := conn.PgConn().CopyTo(t.Context(), &all, `COPY (SELECT x::text FROM doorward.`+table+` x) TO STDOUT`); err != nil {
			t.Fatal(err)
		}
	}
	for _, match := range hexadecimal.FindAllSubmatch(bytes.Clone(all.Bytes()), -1) {
		raw, err := hex.DecodeString(string(match[1][:len(match[1])&^1]))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteByte('\n')
		all.Write(raw)
	}
	if !bytes.Contains(all.Bytes(), []byte(w.issuer)) {
		t.Fatal("no record was read; this test does not see them")
	}
	return all.Bytes()
}

// everyForm are how a value might lie in a database, in JSON or in base64 among others too.
func everyForm(value string) map[string]string {
	all := forms(value)
	all[" in capital hexadecimal"] = strings.ToUpper(hex.EncodeToString([]byte(value)))
	if quoted, err := json.Marshal(value); err == nil {
		all[" in JSON"] = strings.Trim(string(quoted), `"`)
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 { // what stands before it moves it by up to two bytes
			written := encoding.EncodeToString(append(make([]byte, shift), value...))
			if written = strings.TrimSuffix(written[4*min(shift, 1):], written[len(written)-2:]); len(written) >= 8 {
				all[" in base64 "+string(rune('a'+shift))+written[:1]] = written
			}
		}
	}
	if raw, err := base64.RawURLEncoding.DecodeString(value); err == nil && len(raw) >= 12 {
		all[" as bytes of base64"] = string(raw)
	}
	return all
}

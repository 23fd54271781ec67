package integration

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/doorward/doorward/storage"
)

// TestDeviceInBrowser is the person with a telephone in front of a television.
func TestDeviceInBrowser(t *testing.T) {
	b := chromium(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, plan{issuer: "http://" + listener.Addr().String(), configure: withDevices})
	server := &http.Server{Handler: w.handler}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })

	ask := func(place string, fields url.Values) map[string]any {
		t.Helper()
		fields.Set("client_id", "tv")
		r, err := http.NewRequest(http.MethodPost, w.endpoint(place), strings.NewReader(fields.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", "NotesTV/4.1 (Living room)")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		return body
	}
	poll := func(begun map[string]any) map[string]any {
		t.Helper()
		return ask("token", url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {begun["device_code"].(string)}})
	}

	begun := ask("device_authorization", url.Values{"scope": {"openid offline_access notes:read"}})
	b.open(begun["verification_uri"].(string))
	b.see("Connect a device", "close this page")
	b.look("device")
	b.fill("user_code", "bbbb bbbb")
	b.press("Continue")
	b.see("no longer valid")
	b.look("device-wrong")
	b.open(begun["verification_uri_complete"].(string))
	b.see("exactly this code")
	b.look("device-link")
	b.press("Continue")
	b.see("Sign in", "Notes TV")
	b.fill("username", "alice")
	b.fill("password", people["alice"])
	b.press("Sign in")
	b.see("Notes TV", "Read your notes", "127.0.0.1", "NotesTV/4.1 (Living room)", "Allow only a device of your own")
	b.look("device-consent")
	if told := poll(begun); told["error"] != "authorization_pending" {
		t.Errorf("before the answer the device is told %v", told)
	}
	b.press("Allow")
	b.see("Your device is connected", "go back to your device")
	b.look("device-done")
	if told := poll(begun); told["access_token"] == nil || told["id_token"] == nil {
		t.Errorf("the device is told %v", told)
	}

	begun = ask("device_authorization", url.Values{"scope": {"openid"}})
	b.open(begun["verification_uri"].(string))
	b.fill("user_code", begun["user_code"].(string))
	b.click("Continue")
	b.see("The request came from")
	b.click("Deny")
	b.see("The device was not connected")
	b.look("device-denied")
	if told := poll(begun); told["error"] != "access_denied" {
		t.Errorf("the device is told %v", told)
	}
	b.quiet("422 (Unprocessable", "favicon.ico")
}

package integration

import (
	"net/http"
	"net/url"
	"time"

	"github.com/doorward/doorward/storage"
)

func (v *visit) television(id string) {
	v.t.Helper()
	v.enter(storage.Client{
		ID: id, Name: "The " + id, TokenEndpointAuthMethod: storage.AuthMethodNone, Scope: "openid offline_access notes:read",
		GrantTypes: []string{storage.GrantDeviceCode, storage.GrantRefreshToken},
	})
}

// asksForCodes is a device that begins.
func (v *visit) asksForCodes(client string) map[string]any {
	v.t.Helper()
	return v.object(v.good(send(&http.Client{Transport: named{v.transport, "NotesTV/4.1 (Living room)"}}, http.MethodPost, v.endpoint("device_authorization"),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, url.Values{"client_id": {client}, "scope": {"openid offline_access"}}.Encode())))
}

func (v *visit) poll(client string, begun had) *reply {
	v.t.Helper()
	return v.must(v.post("token", client, url.Values{"grant_type": {storage.GrantDeviceCode}, "device_code": {begun.text("device_code")}}))
}

// answers lets a person answer a device.
func (v *visit) answers(begun had, decision string) {
	v.t.Helper()
	if err := v.person().answerDevice(v.world, begun.text("verification_uri_complete"), decision); err != nil {
		v.t.Fatal(err)
	}
}

func keptOfDevices() []keepsake {
	return []keepsake{
		{"a device that waits", func(v *visit) map[string]any {
			v.television("waiting")
			return v.asksForCodes("waiting")
		}, func(v *visit, has had) {
			v.answers(has, "allow")
			tokens := v.poll("waiting", has)
			expect(v.t, "the tokens", tokens, http.StatusOK)
			v.good(v.refresh("waiting", tokens.text("refresh_token"), nil))
		}},
		{"devices that were answered", func(v *visit) map[string]any {
			v.television("answered")
			all := map[string]any{}
			for _, name := range []string{"allowed", "denied", "served"} {
				begun := v.asksForCodes("answered")
				v.answers(begun, map[string]string{"allowed": "allow", "denied": "deny", "served": "allow"}[name])
				all[name] = begun
			}
			expect(v.t, "the tokens", v.poll("answered", all["served"].(map[string]any)), http.StatusOK)
			return all
		}, func(v *visit, has had) {
			for name, status := range map[string]int{"allowed": http.StatusOK, "denied": http.StatusBadRequest, "served": http.StatusBadRequest} {
				expect(v.t, "one that was "+name, v.poll("answered", has[name].(map[string]any)), status)
			}
		}},
		{"a device whose code was typed", func(v *visit) map[string]any {
			v.television("typed")
			begun, who := v.asksForCodes("typed"), v.person()
			v.good(who.open(plain(begun["verification_uri_complete"])))
			v.good(who.submit(nil))
			begun["cookies"], begun["page"] = v.cookies(who), who.last.at.String()
			return begun
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(has.text("page")))
			v.good(who.submit(signsInAs("alice")))
			v.good(who.submit(url.Values{"decision": {"allow"}}))
			expect(v.t, "the tokens", v.poll("typed", has), http.StatusOK)
		}},
		{"wrong user codes", func(v *visit) map[string]any {
			who := v.person()
			v.tokens(who, v.app("watched"), "alice", nil)
			for range 10 { // all that somebody who is signed in has
				v.must(who.open(v.endpoint("device")))
				v.must(who.submit(url.Values{"user_code": {"BBBB-BBBB"}}))
			}
			return map[string]any{"cookies": v.cookies(who)}
		}, func(v *visit, has had) {
			who := v.returns(has.text("cookies"))
			v.good(who.open(v.endpoint("device")))
			expect(v.t, "one more", v.must(who.submit(url.Values{"user_code": {"BBBB-BBBB"}})), http.StatusTooManyRequests)
		}},
	}
}

// keptOfEnds is what was ended, and of whom that is still to be told.
func keptOfEnds() []keepsake {
	return []keepsake{
		{"a revoked person", func(v *visit) map[string]any {
			who := v.person()
			all := given(v.tokens(who, v.app("bobs"), "bob", nil))
			all["cookies"] = v.cookies(who)
			if err := v.server.RevokeSubject(v.t.Context(), "bob"); err != nil {
				v.t.Fatal(err)
			}
			again := v.person()
			all["again"] = given(v.tokens(again, "bobs", "bob", nil))
			all["again_cookies"] = v.cookies(again)
			midway := v.person()
			verifier := v.begun(midway, v.app("stepped-again"), nil)
			v.good(midway.submit(signsInAs("bob")))
			all["step"] = v.page(midway, verifier)
			return all
		}, func(v *visit, has had) {
			v.dead("bobs", has)
			if answer, _ := v.silently(v.returns(has.text("cookies")), "bobs"); answer.Get("error") != "login_required" {
				v.t.Errorf("a session that was ended: %v", answer)
			}
			again := had(has["again"].(map[string]any))
			if !v.active("bobs", again.text("access_token")) {
				v.t.Error("what was granted after it has ended, too")
			}
			v.good(v.refresh("bobs", again.text("refresh_token"), nil))
			if answer, _ := v.silently(v.returns(has.text("again_cookies")), "bobs"); answer.Get("code") == "" {
				v.t.Errorf("a session of after it: %v", answer)
			}
			step := had(has["step"].(map[string]any))
			midway := v.returns(step.text("cookies"))
			v.good(midway.open(step.text("page")))
			v.good(midway.submit(url.Values{"yes": {"yes"}}))
			v.completed("stepped-again", v.good(midway.submit(url.Values{"yes": {"yes"}})), step.text("verifier"))
		}},
		{"a revoked app", func(v *visit) map[string]any {
			all := given(v.tokens(v.alice, v.app("left", asking), "alice", nil))
			if err := v.server.RevokeApp(v.t.Context(), "alice", "left"); err != nil {
				v.t.Fatal(err)
			}
			who := v.person()
			all["again"] = given(v.tokens(who, "left", "alice", nil))
			all["cookies"] = v.cookies(who)
			return all
		}, func(v *visit, has had) {
			v.dead("left", has)
			if !v.active("left", plain(has["again"].(map[string]any)["access_token"])) {
				v.t.Error("what was granted after it has ended, too")
			}
			if answer, _ := v.silently(v.returns(has.text("cookies")), "left"); answer.Get("code") == "" {
				v.t.Errorf("what was allowed after it: %v", answer)
			}
		}},
		{"a removed client", func(v *visit) map[string]any {
			id := v.app("gone")
			tokens := v.tokens(v.alice, id, "alice", nil)
			if err := v.server.Clients().Delete(v.t.Context(), id); err != nil {
				v.t.Fatal(err)
			}
			v.app(id) // another of the same name
			return given(tokens)
		}, func(v *visit, has had) { v.dead("gone", has) }},
		{"a session that was ended", func(v *visit) map[string]any {
			who := v.person()
			offline := v.tokens(who, v.app("stays"), "alice", nil)
			online := v.tokens(who, "stays", "alice", url.Values{"scope": {"openid"}})
			v.good(who.open(v.endpoint("logout") + "?id_token_hint=" + online.text("id_token")))
			return map[string]any{"offline": given(offline), "online": given(online)}
		}, func(v *visit, has had) {
			v.dead("stays", has["online"].(map[string]any))
			next := v.good(v.refresh("stays", plain(has["offline"].(map[string]any)["refresh_token"]), nil))
			if !v.active("stays", next.text("access_token")) {
				v.t.Error("what outlives the session does not")
			}
		}},
		{"clients to be told of an end", func(v *visit) map[string]any {
			all := map[string]any{}
			for _, name := range []string{"tried", "ended", "lasting"} {
				who := v.person()
				client := v.app("told-"+name, func(c *storage.Client) { c.BackchannelLogoutURI = v.docs.URL + "/logout" })
				all[name] = given(v.tokens(who, client, "alice", nil))
				if name != "lasting" {
					v.good(who.open(v.endpoint("logout") + "?id_token_hint=" + plain(all[name].(map[string]any)["id_token"])))
				}
				if name == "tried" {
					v.docs.say(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
					if err := v.server.Maintain(v.t.Context()); err != nil {
						v.t.Fatal(err)
					}
				}
			}
			return all
		}, func(v *visit, has had) {
			sids := map[string]string{}
			for name := range has {
				c, err := v.server.Clients().Get(v.t.Context(), "told-"+name)
				if err != nil {
					v.t.Fatal(err)
				}
				c.BackchannelLogoutURI = v.told.URL + "/logout"
				if _, err := v.server.Clients().Update(v.t.Context(), c); err != nil {
					v.t.Fatal(err)
				}
				sids[c.ID], _ = v.verified(c.ID, plain(has[name].(map[string]any)["id_token"]))["sid"].(string)
			}
			tells := func(client string) {
				v.t.Helper()
				if err := v.server.Maintain(v.t.Context()); err != nil {
					v.t.Fatal(err)
				}
				if told := v.told.tokens(); len(told) != 1 || told[0].Audience != client || told[0].Subject != "alice" || told[0].SessionID != sids[client] || sids[client] == "" {
					v.t.Errorf("%s should be told of the end of %s: %+v", client, sids[client], told)
				}
			}
			tells("told-ended")
			v.advance(time.Minute) // until the next try is due
			tells("told-tried")
			if err := v.server.RevokeSession(v.t.Context(), sids["told-lasting"]); err != nil {
				v.t.Fatal(err)
			}
			tells("told-lasting")
		}},
	}
}

// openid-client and oauth4webapi as relying parties of the provider that standard input
// describes. Both check what they are told more strictly than most clients do.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import { forms } from "./browser.mjs";
import { anybody, begin, browser, everySigned, keyOf, options, refuses, secretive, server, signing, told, world } from "./kit.mjs";

for (const [name, auth] of [["client_secret_basic", client.ClientSecretBasic], ["client_secret_post", client.ClientSecretPost]]) {
  test(`the whole job by ${name}`, async () => {
    const config = await secretive("web", auth);
    const alice = browser();
    const { parameters, checks } = await begin("web", { claims: JSON.stringify({ id_token: { email: { essential: true } } }) });
    const callback = await alice.callback(client.buildAuthorizationUrl(config, parameters));
    const tokens = await client.authorizationCodeGrant(config, callback, checks);
    const claims = tokens.claims();
    assert.equal(claims.email, "alice@people.test");
    assert.equal(tokens.token_type, "bearer");
    assert.ok(tokens.expiresIn() > 0);

    const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(info.name, "Alice");
    await assert.rejects(client.fetchUserInfo(config, tokens.access_token, "somebody else"));

    const next = await client.refreshTokenGrant(config, tokens.refresh_token);
    assert.equal(next.claims().sub, claims.sub);
    assert.notEqual(next.refresh_token, tokens.refresh_token);

    const known = await client.tokenIntrospection(config, next.access_token);
    assert.equal(known.active, true);
    assert.equal(known.client_id, "web");
    await client.tokenRevocation(config, next.refresh_token, { token_type_hint: "refresh_token" });
    assert.deepEqual(await client.tokenIntrospection(config, next.access_token), { active: false });
    await refuses(client.refreshTokenGrant(config, next.refresh_token), "invalid_grant");
    await refuses(client.authorizationCodeGrant(config, callback, checks), "invalid_grant");

    const bye = await alice.open(
      client.buildEndSessionUrl(config, { id_token_hint: next.id_token, post_logout_redirect_uri: "https://web.test/bye", state: "bye" }),
    );
    assert.equal(bye.left?.href, "https://web.test/bye?state=bye");
    const silent = await alice.callback(client.buildAuthorizationUrl(config, { ...parameters, prompt: "none" }));
    await refuses(client.authorizationCodeGrant(config, silent, checks), "login_required");
  });
}

test("a public client", async () => {
  const config = await client.discovery(server, "spa", {}, client.None(), { ...options(), algorithm: "oauth2" });
  const { parameters, checks } = await begin("spa");
  const callback = await browser().callback(client.buildAuthorizationUrl(config, parameters));
  const tokens = await client.authorizationCodeGrant(config, callback, checks);
  await client.refreshTokenGrant(config, tokens.refresh_token);
  await client.tokenRevocation(config, tokens.access_token);
});

test("client credentials", async () => {
  const config = await secretive("machine");
  const tokens = await client.clientCredentialsGrant(config, { scope: "notes:read" });
  assert.equal(tokens.scope, "notes:read");
  await refuses(client.clientCredentialsGrant(config, { scope: "unheard:of" }), "invalid_scope");
  const wrong = await client.discovery(server, "machine", {}, client.ClientSecretBasic("wrong"), options());
  await assert.rejects(client.clientCredentialsGrant(wrong), (e) => e instanceof client.WWWAuthenticateChallengeError || e.error === "invalid_client");
});

test("an assertion by a secret", async () => {
  const config = await secretive("keyed", client.ClientSecretJwt);
  assert.equal((await client.clientCredentialsGrant(config)).token_type, "bearer");
});

test("an answer as a form", async () => {
  const config = await secretive("web");
  const { parameters, checks } = await begin("web", { response_mode: "form_post" });
  const page = await browser().signIn(client.buildAuthorizationUrl(config, parameters));
  const [form] = forms(page.html);
  assert.equal(form.action, "https://web.test/cb");
  const request = new Request(form.action, { method: "POST", body: new URLSearchParams(form.hidden) });
  assert.ok((await client.authorizationCodeGrant(config, request, checks)).access_token);
});

for (const alg of ["RS256", "PS256", "ES256", "EdDSA"]) {
  test(`every word is signed by ${alg}`, async () => {
    const id = `signs-${alg.toLowerCase()}`;
    const key = await keyOf(id);
    const config = await everySigned(id);
    const { parameters, checks } = await begin(id);

    // In the link first, then pushed.
    const link = await client.buildAuthorizationUrlWithJAR(config, parameters, key);
    assert.ok(link.searchParams.has("request"));
    await client.authorizationCodeGrant(config, await browser().callback(link), checks);
    const second = await client.buildAuthorizationUrlWithJAR(config, parameters, key);
    const pushed = await client.buildAuthorizationUrlWithPAR(config, new URLSearchParams(second.searchParams));
    assert.deepEqual([...pushed.searchParams.keys()].sort(), ["client_id", "request_uri"]);
    const callback = await browser().callback(pushed);
    assert.deepEqual([...callback.searchParams.keys()], ["response"]);
    const tokens = await client.authorizationCodeGrant(config, callback, checks);

    const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
    assert.equal(info.aud, id);
    assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, true);
    const next = await client.refreshTokenGrant(config, tokens.refresh_token);
    await client.tokenRevocation(config, next.refresh_token);
    assert.equal((await client.tokenIntrospection(config, next.access_token)).active, false);
  });
}

for (const alg of ["ES256", "PS256", "RS256", "Ed25519"]) {
  for (const [id, make] of [["nonces", signing], ["spa", anybody]]) {
    test(`tokens of ${id} bound to a key of ${alg}`, async () => {
      const config = await make(id);
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg));
      const { parameters, checks } = await begin(id);
      const callback = await browser().callback(await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }));
      const tokens = await client.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
      assert.equal(tokens.token_type, "dpop");
      const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
      assert.equal(info.sub, tokens.claims().sub);
      const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
      assert.equal(next.token_type, "dpop");
      // Of a public client the refresh token is bound too, and no other key will do.
      if (id === "spa") {
        const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg));
        await refuses(client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: thief }), "invalid_grant");
      }
      await assert.rejects(client.fetchUserInfo(config, next.access_token, info.sub), client.WWWAuthenticateChallengeError);

      // APIs of ours, which want nonces of their own, and what one of them may ask.
      for (const [where, address] of Object.entries(world.apis)) {
        for (let n = 0; n < 2; n++) {
          const read = await client.fetchProtectedResource(config, next.access_token, new URL(address), "GET", null, undefined, { DPoP });
          assert.equal(await read.text(), "hello alice", where);
        }
        const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg));
        await assert.rejects(client.fetchProtectedResource(config, next.access_token, new URL(address), "GET", null, undefined, { DPoP: thief }), (e) => {
          assert.equal(e.cause[0].parameters.error, "invalid_token", where);
          return true;
        });
        const unproven = await fetch(address, { headers: { authorization: `Bearer ${next.access_token}` } });
        assert.equal(unproven.status, 401, where);
      }
      assert.deepEqual((await told(next.access_token)).cnf, { jkt: await DPoP.calculateThumbprint() });
    });
  }
}

for (const bound of [false, true]) {
  test(`a device ${bound ? "with" : "without"} a key`, async () => {
    const config = await anybody("tv");
    const DPoP = bound ? client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256")) : undefined;
    const device = await client.initiateDeviceAuthorization(config, { scope: "openid offline_access" });
    const alice = browser();
    let page = await alice.open(device.verification_uri_complete);
    page = await alice.submit(page, "user_code", { user_code: device.user_code });
    page = await alice.submit(page, "username", { username: "alice", password: world.people.alice });
    await alice.submit(page, "decision", { decision: "allow" });
    const tokens = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 1 }, undefined, { DPoP });
    assert.ok(tokens.claims().sub);
    assert.equal(tokens.token_type, bound ? "dpop" : "bearer");
    await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    if (bound) {
      await refuses(client.refreshTokenGrant(config, tokens.refresh_token), "invalid_dpop_proof");
    }
  });
}

test("signing out without an ID token is asked about", async () => {
  const config = await secretive("web");
  const alice = browser();
  const { parameters, checks } = await begin("web");
  await client.authorizationCodeGrant(config, await alice.callback(client.buildAuthorizationUrl(config, parameters)), checks);
  const address = client.buildEndSessionUrl(config, { post_logout_redirect_uri: "https://web.test/bye", state: "bye" });
  assert.equal(address.searchParams.get("client_id"), "web");
  const page = await alice.open(address);
  assert.equal(page.status, 200);
  const quiet = { ...parameters, prompt: "none" };
  assert.ok((await alice.callback(client.buildAuthorizationUrl(config, quiet))).searchParams.has("code"));
  assert.equal((await alice.submit(page, "decision", { decision: "signout" })).left?.href, "https://web.test/bye?state=bye");
  assert.equal((await alice.callback(client.buildAuthorizationUrl(config, quiet))).searchParams.get("error"), "login_required");
});

// oauth4webapi by itself, as an API that verifies tokens alone and as a client.
async function authorizationServer() {
  const response = await oauth.discoveryRequest(server, { algorithm: "oauth2", [oauth.allowInsecureRequests]: true });
  return oauth.processDiscoveryResponse(server, response);
}

test("an API that verifies JWT access tokens itself", async () => {
  const config = await secretive("jwt-machine");
  const as = await authorizationServer();
  const pair = await client.randomDPoPKeyPair("ES256", { extractable: false });
  const tokens = await client.clientCredentialsGrant(config, undefined, { DPoP: client.getDPoPHandle(config, pair) });
  const api = new URL("https://api.test/notes");
  let request;
  await oauth.protectedResourceRequest(tokens.access_token, "GET", api, undefined, null, {
    DPoP: oauth.DPoP({ client_id: "jwt-machine" }, pair),
    [oauth.customFetch]: (url, init) => {
      request = new Request(url, init);
      return new Response();
    },
  });
  const bound = { [oauth.allowInsecureRequests]: true, requireDPoP: true };
  const claims = await oauth.validateJwtAccessToken(as, request, "https://api.test", bound);
  assert.equal(claims.client_id, "jwt-machine");
  assert.equal(claims.scope, "notes:read");
  await assert.rejects(oauth.validateJwtAccessToken(as, request, "https://other.test", bound));
});

test("an introspection as a JWT, of a token that is bound to a key", async () => {
  const as = await authorizationServer();
  const machine = await secretive("machine");
  const DPoP = client.getDPoPHandle(machine, await client.randomDPoPKeyPair());
  const { access_token: token } = await client.clientCredentialsGrant(machine, undefined, { DPoP });
  const api = { client_id: "https://api.test" };
  const response = await oauth.introspectionRequest(as, api, oauth.ClientSecretBasic(world.clients[api.client_id].secret), token, {
    requestJwtResponse: true,
    [oauth.allowInsecureRequests]: true,
  });
  assert.equal(response.headers.get("content-type"), "application/token-introspection+jwt");
  const known = await oauth.processIntrospectionResponse(as, { ...api, introspection_signed_response_alg: "ES256" }, response);
  await oauth.validateApplicationLevelSignature(as, response, { [oauth.allowInsecureRequests]: true });
  assert.equal(known.client_id, "machine");
  assert.deepEqual(known.cnf, { jkt: await DPoP.calculateThumbprint() });
});

// openid-client by TLS certificates, at a provider that asks for them on an origin of its
// own. RFC 8705

import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as client from "openid-client";
import { begin, browser, options, over, refuses, server, told, world } from "./kit.mjs";

// showing is the configuration of a client with a certificate.
const showing = (id, certificate = id, auth = client.TlsClientAuth()) =>
  client.discovery(server, id, { use_mtls_endpoint_aliases: true }, auth, options(world.certificates[certificate]));

// thumbprint is the x5t#S256 of a certificate. RFC 8705 §3.1
const thumbprint = (name) => createHash("sha256").update(new X509Certificate(world.certificates[name].cert).raw).digest("base64url");

async function bound(config, id, token) {
  assert.deepEqual((await told(token)).cnf, { "x5t#S256": thumbprint(id) });
  for (const [where, address] of Object.entries(world.apis)) {
    const read = await client.fetchProtectedResource(config, token, new URL(address), "GET");
    assert.equal(await read.text(), "hello", where);
    for (const thief of [undefined, world.certificates.thief]) {
      const answer = await over(thief)(address, { headers: { authorization: `Bearer ${token}` } });
      assert.equal(answer.status, 401, where);
      assert.match(answer.headers.get("www-authenticate"), /error="invalid_token"/, where);
    }
  }
}

// signIn is the whole job of a client, until it has tokens that were refreshed once.
async function signIn(config, id) {
  const { parameters, checks } = await begin(id, { redirect_uri: "https://billing.test/cb", scope: "openid notes:read" });
  const callback = await browser().callback(await client.buildAuthorizationUrlWithPAR(config, parameters));
  const tokens = await client.authorizationCodeGrant(config, callback, checks);
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(info.sub, tokens.claims().sub);
  return client.refreshTokenGrant(config, tokens.refresh_token);
}

for (const [id, other] of [["billing", "own-cert"], ["own-cert", "billing"]]) {
  test(`${id} is known by its certificate`, async () => {
    const config = await showing(id);
    const next = await signIn(config, id);
    await bound(config, id, next.access_token);
    assert.equal((await client.tokenIntrospection(config, next.access_token)).active, true);
    await client.tokenRevocation(config, next.refresh_token);
    assert.equal((await client.tokenIntrospection(config, next.access_token)).active, false);

    await bound(config, id, (await client.clientCredentialsGrant(config)).access_token);
    assert.ok((await client.initiateDeviceAuthorization(config, { scope: "openid" })).user_code);
    for (const thief of [other, "thief", "none"]) {
      await assert.rejects(client.clientCredentialsGrant(await showing(id, thief)), (e) => {
        assert.equal(e.error ?? e.cause?.[0]?.parameters?.error, "invalid_client", `${thief}: ${e}`);
        return true;
      });
    }
  });
}

test("the tokens of a public client are bound to the certificate that it came with", async () => {
  const config = await showing("native", "native", client.None());
  const next = await signIn(config, "native");
  await bound(config, "native", next.access_token);
  await refuses(client.refreshTokenGrant(await showing("native", "thief", client.None()), next.refresh_token), "invalid_grant");
  await assert.rejects(client.fetchUserInfo(await showing("native", "thief", client.None()), next.access_token, next.claims().sub), client.WWWAuthenticateChallengeError);
  await client.refreshTokenGrant(config, next.refresh_token);
});

// openid-client at a provider that is held to the FAPI 2.0 profiles: requests are pushed and
// signed, answers are signed, clients sign too, tokens are bound to a key.
// FAPI 2.0 Security Profile §5.3, Message Signing §5.3

import assert from "node:assert/strict";
import { test } from "node:test";
import * as client from "openid-client";
import { begin, browser, everySigned, keyOf, refuses, world } from "./kit.mjs";

for (const id of Object.keys(world.clients).filter((id) => world.clients[id].key !== undefined)) {
  test(`all of it together, for ${id}`, async () => {
    const config = await everySigned(id);
    assert.equal(config.serverMetadata().require_pushed_authorization_requests, true);
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
    const { parameters, checks } = await begin(id);
    const signed = async () => new URLSearchParams((await client.buildAuthorizationUrlWithJAR(config, parameters, await keyOf(id))).searchParams);

    const alice = browser();
    const callback = await alice.callback(await client.buildAuthorizationUrlWithPAR(config, await signed(), { DPoP }));
    assert.deepEqual([...callback.searchParams.keys()], ["response"]);
    const tokens = await client.authorizationCodeGrant(config, callback, checks, undefined, { DPoP });
    assert.equal(tokens.token_type, "dpop");
    const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP });
    assert.equal(info.aud, id);

    const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    const known = await client.tokenIntrospection(config, next.access_token);
    assert.deepEqual(known.cnf, { jkt: await DPoP.calculateThumbprint() });
    for (const [where, address] of Object.entries(world.apis)) {
      const read = await client.fetchProtectedResource(config, next.access_token, new URL(address), "GET", null, undefined, { DPoP });
      assert.equal(await read.text(), "hello alice", where);
    }

    // Each part is missed where it is left out.
    const straight = await alice.callback(await client.buildAuthorizationUrlWithJAR(config, parameters, await keyOf(id)));
    await refuses(client.authorizationCodeGrant(config, straight, checks, undefined, { DPoP }), "invalid_request");
    await refuses(client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }), "invalid_request");
    const again = await alice.callback(await client.buildAuthorizationUrlWithPAR(config, await signed(), { DPoP }));
    await refuses(client.authorizationCodeGrant(config, again, checks), "invalid_dpop_proof");

    await client.tokenRevocation(config, next.refresh_token);
    assert.equal((await client.tokenIntrospection(config, next.access_token)).active, false);
    const bye = await alice.open(client.buildEndSessionUrl(config, { id_token_hint: next.id_token }));
    assert.equal(bye.status, 200);
    const silent = await alice.callback(await client.buildAuthorizationUrlWithPAR(config, new URLSearchParams((await client.buildAuthorizationUrlWithJAR(config, { ...parameters, prompt: "none" }, await keyOf(id))).searchParams), { DPoP }));
    await refuses(client.authorizationCodeGrant(config, silent, checks, undefined, { DPoP }), "login_required");
  });
}

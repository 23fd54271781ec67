// oidc-provider on Node.js, one process, with its own memory adapter (which keeps the
// newest thousand or two of its records and forgets the others). Login is a form; consent
// is given for everybody. It speaks as package peer says.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { Provider } from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    alg: { type: 'string', default: 'ES256' },
    jwt: { type: 'boolean', default: false },
    dir: { type: 'string' }, // it keeps no files
  },
});

// Standard output is for what package peer wants; notices go to standard error.
console.info = console.error;
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const audience = 'https://api.test';
const notes = 'notes:read';

function key(alg) {
  const { privateKey } = alg === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg };
}

// The grant that a consent page would have made.
async function loadExistingGrant(ctx) {
  const { client, session, provider } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  const found = known && await provider.Grant.find(known);
  if (found) {
    return found;
  }
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid');
  await grant.save();
  return grant;
}

function configuration() {
  const { alg, jwt } = options;
  return {
    clients: [{
      client_id: 'machine', client_secret: 'secret-of-machine-0123456789abcdef',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: notes,
    }, {
      client_id: 'web', client_secret: 'secret-of-web-0123456789abcdef', redirect_uris: ['https://web.test/cb'],
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], scope: 'openid',
    }],
    clientDefaults: { id_token_signed_response_alg: alg },
    jwks: { keys: [key(alg)] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: ['openid', notes],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    loadExistingGrant,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: {
        enabled: jwt,
        defaultResource: (ctx, client) => (client.clientId === 'machine' ? audience : undefined),
        getResourceServerInfo: () => ({
          audience, scope: notes, accessTokenFormat: 'jwt', jwt: { sign: { alg } },
        }),
      },
    },
  };
}

function read(request) {
  return new Promise((resolve, reject) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => resolve(new URLSearchParams(Buffer.concat(parts).toString())));
    request.on('error', reject);
  });
}

async function login(provider, request, response) {
  if (request.method !== 'POST') {
    await provider.interactionDetails(request, response);
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1><form method="post" action="${request.url}">
<input name="username" type="text"><input name="password" type="password"><button type="submit">Sign in</button></form>`);
    return;
  }
  const form = await read(request);
  await provider.interactionFinished(request, response, { login: { accountId: form.get('username') } });
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  provider.on('server_error', (ctx, error) => console.error(error));
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (!request.url.startsWith('/interaction/')) {
      answer(request, response);
      return;
    }
    login(provider, request, response).catch((error) => {
      console.error(error);
      response.statusCode = 500;
      response.end();
    });
  });
  say({ issuer });
});

const lines = createInterface({ input: process.stdin });
lines.on('line', () => say({}));
lines.on('close', () => process.exit(0));

// A certified OpenID provider with two clients and two accounts, for tests: node server.mjs PORT CALLBACK ID_TOKEN_HAS_ALL
// Its keys are new with every start, and whatever password is typed is right.
import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

const [port, callback, complete] = process.argv.slice(2)
const accounts = {
  ada: { email: 'Ada@Example.org', email_verified: true, name: 'Ada Lovelace' },
  eve: { email: 'eve@example.org', email_verified: false, name: 'Eve' },
}
const client = { redirect_uris: [callback], grant_types: ['authorization_code'], response_types: ['code'] }
const key = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: 'public', token_endpoint_auth_method: 'none' },
    { ...client, client_id: 'confidential', client_secret: 's%cr:t +&', token_endpoint_auth_method: 'client_secret_basic' },
  ],
  jwks: { keys: [{ ...key(), use: 'sig', alg: 'RS256' }] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: complete !== 'true',
  findAccount: (_, id) => accounts[id] && { accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
})

provider.listen(Number(port), '127.0.0.1')

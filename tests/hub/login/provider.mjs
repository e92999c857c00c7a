// A real OpenID provider on loopback, over TLS: whoever types a name is it.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const [port, client, secret, redirect, key, cert] = process.argv.slice(2);
const groups = { ann: ["staff", "research"], ben: ["guests"], eve: ["staff"], 김철수: ["staff"], nameless: ["staff"] };

const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: client,
      client_secret: secret,
      redirect_uris: [redirect],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  claims: {
    openid: ["sub"],
    profile: ["preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  scopes: ["openid", "profile", "email", "groups"],
  pkce: { required: () => true },
  cookies: { keys: ["of-the-tests"] },
  features: { devInteractions: { enabled: true } },
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id,
      preferred_username: id === "nameless" ? undefined : id,
      email: `${id}@example.org`,
      email_verified: id !== "eve",
      groups: groups[id.toLowerCase()] ?? [],
    }),
  }),
});
createServer({ key: readFileSync(key), cert: readFileSync(cert) }, provider.callback()).listen(Number(port), "127.0.0.1");

import * as oauth from 'oauth4webapi';
import { expect, test } from 'vitest';
import { emulator } from '../emulator.ts';
import { FORM, formNamed, type Said, TestClient, tokensOf } from './client.fixture.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

interface Device {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
  readonly expires_in: number;
  readonly interval: number;
}

class DeviceClient extends TestClient {
  constructor() {
    super({ form: formNamed('google') });
  }

  async begin(): Promise<Device> {
    const { clientId, clientSecret } = this.server.defaultApp();
    const fields = { client_id: clientId, client_secret: clientSecret, scope: 'openid email' };
    const said = await this.send('POST', this.form.paths.device ?? '', FORM, String(new URLSearchParams(fields)));
    return JSON.parse(said.text) as Device;
  }

  ask({ device_code }: Device): Promise<Said> {
    return this.token({ grant_type: GRANT, device_code });
  }

  async error(device: Device): Promise<string> {
    return JSON.parse((await this.ask(device)).text).error;
  }

  post(action: string, fields: Record<string, string>): Promise<Said> {
    return this.send('POST', action, FORM, String(new URLSearchParams(fields)));
  }
}

const actionOf = ({ text }: Said) => /action="([^"]+)"/.exec(text)?.[1] ?? '';

test('a person types the code, signs in and allows it, and the device gets its tokens', async () => {
  const client = new DeviceClient();
  const device = await client.begin();
  expect(device).toMatchObject({
    expires_in: 600,
    interval: 5,
    user_code: expect.stringMatching(/^[A-Z]{4}-[A-Z]{4}$/),
  });
  expect(await client.error(device)).toBe('authorization_pending');
  const typed = await client.post(new URL(device.verification_uri).pathname, {
    user_code: device.user_code.toLowerCase(),
  });
  const { username, password } = client.server.defaultUser();
  const verification = await client.post(actionOf(typed), { username, password });
  const consent = await client.post(actionOf(verification), { code: client.server.totpCode() });
  expect(consent.text).toContain('the device that showed you the code');
  expect((await client.post(actionOf(consent), { decision: 'approve' })).text).toContain('Device connected');
  const { access, refresh } = tokensOf(await client.at(5).ask(device));
  expect((await client.refresh(refresh)).status).toBe(200);
  expect((await client.get(client.form.paths.userinfo ?? '', access)).status).toBe(200);
  expect(await client.at(10).error(device)).toBe('invalid_grant');
});

test('a device that asks too fast has to slow down, and then waits five seconds more', async () => {
  const client = new DeviceClient();
  const device = await client.begin();
  await client.ask(device);
  expect(await client.at(4).error(device)).toBe('slow_down');
  expect(await client.at(10).error(device)).toBe('slow_down');
  expect(await client.at(26).error(device)).toBe('authorization_pending');
});

test('a device learns that it was turned away, or that its code is too old', async () => {
  const client = new DeviceClient();
  const denied = await client.begin();
  client.server.preselect({ decision: 'deny', user: null, once: true });
  expect((await client.send('GET', denied.verification_uri_complete)).text).toContain('Device turned away');
  expect(await client.error(denied)).toBe('access_denied');
  const late = await client.begin();
  expect(await client.at(600).error(late)).toBe('expired_token');
  expect((await client.send('GET', late.verification_uri_complete)).text).toContain('No device waits with this code');
});

test('a device code is good for the app that asked for it alone', async () => {
  const client = new DeviceClient();
  const device = await client.begin();
  client.server.preselect({ decision: 'approve', user: null, once: true });
  await client.send('GET', device.verification_uri_complete);
  const other = client.server.addApp('another', []);
  const said = await client.token(
    { grant_type: GRANT, device_code: device.device_code },
    { ...other, redirectUris: [] },
  );
  expect(JSON.parse(said.text).error).toBe('invalid_grant');
  expect((await client.ask(device)).status).toBe(200);
});

test('a provider without a device endpoint has no such grant', async () => {
  const client = new TestClient({ form: formNamed('xero') });
  const said = await client.token({ grant_type: GRANT, device_code: 'x' });
  expect(JSON.parse(said.text).error).toBe('unsupported_grant_type');
});

test('a client that others wrote goes through the device flow', async () => {
  await using server = await emulator('github-app');
  const file = server.providerFile;
  const as = {
    issuer: server.baseUrl,
    token_endpoint: String(file.token_endpoint),
    device_authorization_endpoint: String(file.device_authorization_endpoint),
  };
  const client = { client_id: server.clientId };
  const secret = oauth.ClientSecretPost(server.clientSecret);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const begun = await oauth.deviceAuthorizationRequest(as, client, secret, { scope: 'user' }, insecure);
  const device = await oauth.processDeviceAuthorizationResponse(as, client, begun);
  server.control.preselect({ decision: 'approve', user: null, once: true });
  await fetch(device.verification_uri_complete ?? '');
  const given = await oauth.deviceCodeGrantRequest(as, client, secret, device.device_code, insecure);
  expect(await oauth.processDeviceCodeResponse(as, client, given)).toHaveProperty('refresh_token');
});

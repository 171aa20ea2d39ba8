import { expect, it } from 'vitest';
import { type ServeOptions, servingOptions } from '../../src/cli/served-run.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { OPTIONS } from '../coordinator/saved-run.js';

it('a served run is given again how it listens and how long it waits', () => {
  const plain: ServeOptions = {
    ...OPTIONS,
    listen: '127.0.0.1:0',
    security: NO_SECURITY,
    joinTimeout: 300,
    resumeOrStart: false,
    jsonLogs: false,
  };
  expect(servingOptions(plain).join(' ')).toBe('--listen 127.0.0.1:0');
  const given = { ...plain, advertise: 'here', tls: 'certs', tokenFile: 'token', insecure: true };
  expect(servingOptions({ ...given, joinTimeout: 20, jsonLogs: true }).join(' ')).toBe(
    '--listen 127.0.0.1:0 --advertise here --tls certs --token-file token --insecure --join-timeout 20 --json-logs',
  );
});

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findRun, type RunFolder } from '@locmoe/run-format';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { NO_SECURITY, randomToken } from '../../src/rpc/security.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { keepToken, lastingToken, securityOfRun } from '../../src/run/run-token.js';
import { IS_ROOT, NOBODY } from '../foreign-port.js';

let runsDir: string;
let folder: RunFolder;
beforeEach(() => {
  runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-token-'));
  folder = createRunFolder(runsDir, 'tiny');
});
afterEach(() => rmSync(runsDir, { recursive: true }));

/** Returns what a function throws when another user calls it. */
function thrownToNobody(action: () => unknown): unknown {
  process.seteuid!(NOBODY.uid);
  try {
    action();
    return null;
  } catch (error) {
    return error;
  } finally {
    process.seteuid!(0);
  }
}

describe('the token of a run', () => {
  it('is kept for its owner alone, whatever the umask, until the next one or none', () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    keepToken(folder, randomToken());
    const token = randomToken();
    keepToken(folder, token);
    expect(readFileSync(folder.token, 'utf8')).toBe(`${token}\n`);
    expect((statSync(folder.token).mode & 0o777).toString(8)).toBe('600');
    expect(securityOfRun(folder)).toMatchObject({ token, tls: null, isOwn: true });
    keepToken(folder, null);
    expect(existsSync(folder.token)).toBe(false);
    expect(securityOfRun(folder)).toBe(NO_SECURITY);
  });

  it('lasts for another process only if nobody else can know it', () => {
    expect(lastingToken(folder)).toBeNull();
    const token = randomToken();
    keepToken(folder, token);
    expect(lastingToken(folder)).toBe(token);
    chmodSync(folder.token, 0o644);
    expect(lastingToken(folder)).toBeNull();
  });

  it.skipIf(!IS_ROOT)('is not another user’s, who is told so', () => {
    keepToken(folder, randomToken());
    chmodSync(runsDir, 0o755);
    const message = `run ${folder.runId} belongs to another user: `;
    expect(thrownToNobody(() => securityOfRun(folder))).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: expect.stringContaining(message),
    });
    for (const named of [undefined, folder.runId, folder.directory])
      expect(thrownToNobody(() => findRun(runsDir, named))).toMatchObject({
        code: 'BAD_INPUT',
        message: `${message}${folder.directory} cannot be read`,
      });
  });
});

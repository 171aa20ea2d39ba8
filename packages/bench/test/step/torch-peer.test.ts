import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canCompile, describePeer, findTorch } from '../../src/step/torch-peer.js';

/**
 * A fake Python interpreter that prints a PyTorch version, OpenBLAS's kernels according to the environment, and the
 * loaded libraries, or fails if none are given.
 */
function interpreter(version: string, library: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-python-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'python3');
  const kernels = '"$OPENBLAS_CORETYPE$OPENBLAS_L2_SIZE"SkylakeX';
  writeFileSync(file, `#!/bin/sh\nprintf '%s\\n' '${version}' ${kernels} '7f00-7f01 r-xp ${library}'\n`, {
    mode: 0o755,
  });
  return file;
}

const OPENBLAS = '/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3';
const REFERENCE = '/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.12.1';

describe('findTorch', () => {
  it('takes the first interpreter that has PyTorch', () => {
    const python = interpreter('2.6.0+debian', OPENBLAS);
    const peer = findTorch(['/no/python3', '/bin/false', python]);
    expect(peer).toEqual({ python, version: '2.6.0+debian', kernels: 'SkylakeX' });
    expect(canCompile(peer)).toBe(true);
    expect(canCompile({ ...peer, python: '/bin/false' })).toBe(false);
  });

  it('leaves the choice of kernels to OpenBLAS, whatever the environment says', () => {
    vi.stubEnv('OPENBLAS_CORETYPE', 'Prescott');
    vi.stubEnv('OPENBLAS_L2_SIZE', '1');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(describePeer(findTorch([interpreter('2.6.0+debian', OPENBLAS)]))).toMatch(
      /^PyTorch 2\.6\.0\+debian of .*, OpenBLAS's kernels SkylakeX$/,
    );
  });

  it('says how to get it', () => {
    expect(() => findTorch(['/bin/false', '/no/python3'])).toThrow(
      '--peer torch: none of /bin/false, /no/python3 can import torch; install it with packages/bench/peers/install.sh',
    );
  });

  it('takes none whose BLAS would slow it down', () => {
    expect(() => findTorch([interpreter('2.6.0+debian', REFERENCE)])).toThrow(
      /slow reference BLAS; install OpenBLAS with packages\/bench\/peers\/install\.sh/,
    );
  });
});

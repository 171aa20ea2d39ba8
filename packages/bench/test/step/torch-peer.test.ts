import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { canCompile, findTorch } from '../../src/step/torch-peer.js';

/**
 * A fake interpreter: prints a PyTorch version and the libraries of its process, or fails if none are given.
 */
function interpreter(version: string, library: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-python-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'python3');
  writeFileSync(file, `#!/bin/sh\nprintf '%s\\n' '${version}' '7f00-7f01 r-xp ${library}'\n`, {
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
    expect(peer).toEqual({ python, version: '2.6.0+debian' });
    expect(canCompile(peer)).toBe(true);
    expect(canCompile({ ...peer, python: '/bin/false' })).toBe(false);
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

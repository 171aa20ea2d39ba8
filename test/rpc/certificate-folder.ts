import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { makeCertificates } from '../../src/rpc/certificates.js';

/** A folder with the files of one cluster, removed after the test. */
export async function certificateFolder(days = 2): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-certs-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await makeCertificates(folder, days);
  return folder;
}

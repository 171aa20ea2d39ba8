import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { STUDIES } from '../index.js';
import { callStudy, copyResults, temporaryFolder } from './support.js';

const RESULTS = fileURLToPath(new URL('../../docs/results', import.meta.url));

describe('docs/results', () => {
  it.each(Object.keys(STUDIES))('has of %s what its JSON says', async (name) => {
    const out = temporaryFolder();
    copyResults(RESULTS, name, out);
    await callStudy(name, '--report', '--out', out);
    const written = readdirSync(out).filter((file) => file !== name);
    const belongs = new RegExp(`^${name}(-.*)?\\.(jsonl?|md|svg)$`);
    const shown = readdirSync(RESULTS).filter((file) => belongs.test(file));
    expect(shown).toEqual(expect.arrayContaining(written));
    expect(written).toEqual(expect.arrayContaining(shown.filter((file) => file.endsWith('.svg'))));
    for (const file of written)
      expect(readFileSync(path.join(out, file), 'utf8'), file).toBe(
        readFileSync(path.join(RESULTS, file), 'utf8'),
      );
  });
});

import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { runSchema } from '../../src/config/schema.js';

const textWith = (domains: string) => `
name: own
model: { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, vocabSize: 300, seqLen: 8 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1, globalBatch: 2, learningRate: 0.1 }
data:
  domains:
${domains}
`;
const resolve = (domains: string, sets: string[] = []) =>
  resolveConfig(textWith(domains), '/texts/recipe.yaml', { sets });

const OWN = `
    - en
    - docs: { files: ["docs/**/*.md", notes.txt] }
    - chat: { folder: ../talk, files: qa.jsonl, format: jsonl, field: answer }`;

describe('domains of a user', () => {
  it('are names in data.domains and files in data.sources, with folders that hold from anywhere', () => {
    const { domains, sources, maxBytesPerDomain } = resolve(OWN).data;
    expect(domains).toEqual(['en', 'docs', 'chat']);
    expect(sources).toEqual({
      docs: { folder: '/texts', files: ['docs/**/*.md', 'notes.txt'], field: 'text' },
      chat: { folder: '/talk', files: ['qa.jsonl'], format: 'jsonl', field: 'answer' },
    });
    expect(maxBytesPerDomain).toBeNull();
  });

  it('go through a checkpoint unchanged, and are not changed by what is set then', () => {
    const config = resolve(OWN);
    expect(runSchema.parse(JSON.parse(JSON.stringify(config)))).toEqual(config);
    const resumed = resolveConfig(JSON.stringify(config), '/runs/a/checkpoints/step-1', { sets: ['seed=4'] });
    expect(resumed.data).toEqual(config.data);
    const moved = resolveConfig(JSON.stringify(config), '/runs/a', {
      sets: ['data.sources.docs.folder=moved'],
    });
    expect(moved.data.sources.docs.folder).toBe(path.resolve('moved'));
  });

  it('given by --set are relative to the working folder', () => {
    const { sources } = resolve('    - en', ['data.domains=[docs: { files: a.txt }]']).data;
    expect(sources.docs).toEqual({ folder: process.cwd(), files: ['a.txt'], field: 'text' });
  });

  it('take what --set says of a field of theirs, and the rest from data.domains', () => {
    const { sources } = resolve(OWN, [
      'data.sources.chat.field=question',
      'data.sources.docs.files=b.md',
    ]).data;
    expect(sources.chat).toEqual({
      folder: '/talk',
      files: ['qa.jsonl'],
      format: 'jsonl',
      field: 'question',
    });
    expect(sources.docs).toEqual({ folder: process.cwd(), files: ['b.md'], field: 'text' });
    expect(() => resolve(OWN, ['data.sources.chat.field=7'])).toThrow('--set data.sources.chat.field=7:');
    const again = resolveConfig(JSON.stringify(resolve(OWN)), '/runs/a', {
      sets: ['data.domains=[chat: { files: new.csv }]'],
    });
    expect(again.data.sources.chat).toEqual({ folder: process.cwd(), files: ['new.csv'], field: 'text' });
  });

  it('may have dots in their names, for --set too', () => {
    const config = resolve('    - v1.2: { files: a.txt }', ['data.domains.0.v1.2.field=body']);
    expect(config.data.sources['v1.2'].field).toBe('body');
    const moved = resolveConfig(JSON.stringify(config), '/runs/a', { sets: ['data.sources.v1.2.folder=/b'] });
    expect(moved.data.sources).toEqual({ 'v1.2': { folder: '/b', files: ['a.txt'], field: 'body' } });
  });

  it.each([
    ['    - docs: { files: [] }', ':8:22 data.domains.0.docs.files: must not be empty'],
    ['    - docs: { file: a }', ':8:21 data.domains.0.docs.file: unknown key'],
    ['    - en\n    - docs: a.txt', ':9:13 data.domains.1.docs: must be a mapping'],
    ['    - docs: { files: a, format: word }', ':8:33 data.domains.0.docs.format: must be one of text'],
    ['    - a/b: { files: a }', '"a/b" is no name'],
    ['    - 7', ':8:7 data.domains.0: must be a string'],
    ['    - docs: { files: a }\n    - docs: { files: b }', 'data.domains: a domain is listed twice'],
    [
      '    - docs: { files: a, format: jsonl, separator: x }',
      ':8:51 data.domains.0.docs.separator: is for format text alone',
    ],
  ])('%s', (domains, message) => {
    expect(() => resolve(domains)).toThrow(message);
  });
});

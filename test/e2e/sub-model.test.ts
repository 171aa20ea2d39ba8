import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, type Finished, locmoe, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

function refused({ code, stdout, stderr }: Finished, pattern: RegExp): void {
  expect(code, stdout).not.toBe(0);
  expect(stderr).toMatch(pattern);
  expect(stderr.trimEnd()).not.toContain('\n');
}

it('the sub-model of a domain is a checkpoint of its own: judged, asked, trained and refused as one', async () => {
  const folder = temporaryFolder();
  const whole = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=5'] });
  const part = path.join(folder, 'code');
  const exported = await locmoe(
    ...['export', '--checkpoint', whole, '--sub-model', '--domain', 'code', '--output', part],
  );
  expect(exported.code, exported.stderr).toBe(0);
  expect(exported.stdout).toMatch(
    /domain code: 2 of 4 experts in each sparse layer, [\d,]+ of [\d,]+ parameters/,
  );

  const lossOf = async (checkpoint: string) => {
    const { stdout } = await locmoe(
      ...['eval', '--checkpoint', checkpoint, '--sequences', '8', '--data-dir', DATA_DIR, '--json'],
    );
    return JSON.parse(stdout).domains.find(({ domain }: { domain: string }) => domain === 'code').loss;
  };
  const [ofPart, ofWhole] = await Promise.all([lossOf(part), lossOf(whole)]);
  expect(ofPart).toBeCloseTo(ofWhole, 5);

  const generate = (domain: string) =>
    locmoe('generate', '--checkpoint', part, '--prompt', 'a', '--domain', domain, '--max-tokens', '2');
  const training = ['train', '--runs-dir', path.join(folder, 'runs'), '--data-dir', DATA_DIR, '--no-samples'];
  const page = path.join(folder, 'page');
  const [asked, other, onEnglish, resumed, trained, exportedOn] = await Promise.all([
    generate('code'),
    generate('en'),
    locmoe(...training, '--init', part, '--set', 'data.domains=[en]'),
    locmoe(...training, '--resume', part, '--set', 'train.steps=6'),
    locmoe(...training, '--init', part, '--set', 'train.steps=2'),
    locmoe('export', '--checkpoint', part, '--to', 'web', '--output', page),
  ]);
  expect(asked.code, asked.stderr).toBe(0);
  refused(other, /^locmoe: --domain en: the model knows code$/m);
  refused(
    onEnglish,
    /data\.domains: en: this is the sub-model of code, without the experts of other domains/,
  );
  refused(resumed, /has weights alone, so no run can go on from it; start one with them: --init$/m);
  expect(trained.code, trained.stdout + trained.stderr).toBe(0);
  const config = JSON.parse(readFileSync(path.join(newestRun(folder), 'config.json'), 'utf8'));
  expect(config.moe.subModel).toEqual({ domain: 'code', domains: ['en', 'code'] });
  expect(exportedOn.code, exportedOn.stderr).toBe(0);
  const { domains, expertsOfDomain } = JSON.parse(readFileSync(path.join(page, 'model/config.json'), 'utf8'));
  expect({ domains, expertsOfDomain }).toEqual({ domains: ['code'], expertsOfDomain: [[2, 3]] });
  // What it has trained is a sub-model too, and a run that can be gone on with.
  const going = await locmoe(...training, '--resume', newestRun(folder), '--set', 'train.steps=3');
  expect(going.code, going.stdout + going.stderr).toBe(0);
});

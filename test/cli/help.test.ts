import { expect, it } from 'vitest';
import { runCommand } from '../run-command.js';

it.each([
  ['train', ['--config', '--set', '--nodes', '--workers-per-node', '--resume']],
  ['node', ['--coordinator']],
  ['status', ['--run', '--coordinator', '--json']],
  ['stop', ['--run', '--coordinator']],
  ['logs', ['query', '--rank', '--level', '--since', '--context', '--follow']],
  ['inspect', ['--run', '--runs-dir', '--http', '--token-file']],
  ['flight', ['--runs-dir', '--generation', '--last', '--json']],
  ['generate', ['--checkpoint', '--prompt', '--domain', '--interactive', '--stop', '--top-p']],
  ['api', ['--checkpoint', '--host', '--port', '--token-file', '--max-waiting']],
  ['eval', ['--checkpoint', '--sequences']],
  ['bench', ['routers']],
])('--help explains %s', async (command, options) => {
  const { code, stdout, stderr } = await runCommand(command, '--help');
  expect([code, stderr]).toEqual([0, '']);
  for (const option of options) expect(stdout).toMatch(new RegExp(`${option}\\b.*\\S{3}`));
});

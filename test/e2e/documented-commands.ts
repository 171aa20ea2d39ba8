import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './support.js';

/** Languages of fenced blocks that hold no commands. */
const NOT_COMMANDS = ['text', 'promql', 'sql', 'ts', 'js', 'diff', 'python', 'yaml', 'json', 'dockerfile'];
/** What a span of code begins with if it is there to be typed. */
const TYPED =
  /^(?:npx |npm |node scripts\/|docker |kubectl |locmoe |cp |packages\/bench\/peers\/install\.sh)/;
/** `locmoe train` in a sentence: a subcommand by its name, perhaps with a placeholder in brackets. */
const NAME = /^locmoe ((?:[a-z]+ ?)+)(?: ?\[[^\]]*\])?$/;

export interface DocumentedCommands {
  /** Lines of `sh` blocks, and spans of code that are there to be typed; without comments, continued lines as one. */
  readonly commands: ReadonlySet<string>;
  /** Subcommands that the text names, such as `bench step`. */
  readonly names: ReadonlySet<string>;
}

/**
 * What README.md, CONTRIBUTING.md and docs/ tell a reader to type. The reports under docs/results are left out: benches write them.
 *
 * @throws Error for a fenced block that does not say whether it holds commands
 */
export function documentedCommands(): DocumentedCommands {
  const docs = readdirSync(path.join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const commands = new Set<string>();
  const names = new Set<string>();
  for (const file of ['README.md', 'CONTRIBUTING.md', ...docs.map((name) => `docs/${name}`)]) {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    const prose = text.replace(/^```(\S*).*\n((?:.*\n)*?)```$/gm, (_, language: string, block: string) => {
      if (language === 'sh') for (const line of linesOf(block)) commands.add(line);
      else if (!NOT_COMMANDS.includes(language))
        throw new Error(`${file}: a block fenced as '${language}': expected sh, ${NOT_COMMANDS.join(', ')}`);
      return '';
    });
    for (const [, span] of prose.matchAll(/`([^`\n]+)`/g)) {
      const name = NAME.exec(span);
      if (name !== null) names.add(name[1].trim());
      else if (TYPED.test(span)) commands.add(span);
    }
  }
  return { commands, names };
}

function linesOf(block: string): string[] {
  return block
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

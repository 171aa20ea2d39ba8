import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { type Format, loadTask, type Task } from './load-task.js';
import { type Question, refusal } from './question.js';

/** A task, and the questions with answers that its prompts begin with. */
export interface AskedTask extends Task {
  readonly shots: readonly Question[];
}

/**
 * The first questions of the dev split, which prompts begin with.
 *
 * @param dev its file; looked for beside the task's if null
 * @throws TrainerError `BAD_INPUT` if there is none, it is the task itself, or it has fewer questions
 */
export async function loadShots(
  file: string,
  { count, dev, format }: { readonly count: number; readonly dev: string | null; readonly format: Format },
): Promise<readonly Question[]> {
  if (count === 0) return [];
  const found = dev ?? devFileOf(file);
  const { questions } = await loadTask(found, dev === null ? format : null);
  if (realpathSync(found) === realpathSync(file))
    throw refusal(
      found,
      'is what is asked: with --dev of the same file a question would have its answer in front of it',
    );
  if (questions.length < count)
    throw refusal(
      found,
      `has ${questions.length} questions for prompts to begin with: --shots ${count} needs more`,
    );
  return questions.slice(0, count);
}

/** `../dev/x_dev.csv`, or `../dev/x.csv`, or `x_dev.csv`, where the task is `x_val.csv`, `x_test.csv` or `x.csv`. */
function devFileOf(file: string): string {
  const folder = path.dirname(file);
  const name = path.basename(file);
  const renamed = name.replace(/(?<=[_-])(val|test)(?=[_.-])/, 'dev');
  const places = [
    path.join(folder, '../dev', renamed),
    path.join(folder, '../dev', name),
    path.join(folder, renamed),
  ].filter((place) => path.resolve(place) !== path.resolve(file));
  const found = places.find((place) => existsSync(place));
  if (found === undefined)
    throw refusal(
      file,
      `has no dev split beside it (${[...new Set(places)].join(', ')}); name one with --dev FILE`,
    );
  return found;
}

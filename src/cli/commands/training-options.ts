import { type Command, Option } from 'commander';
import { recipeNames } from '../../config/resolve.js';
import { collect, MAX_WAIT_S, numberFrom, wholeNumber } from './options.js';

export function addTrainingOptions(command: Command): Command {
  return command
    .option('--config <file|recipe>', `a YAML file, or one of the recipes ${recipeNames().join(', ')}`)
    .addOption(
      new Option(
        '--text <pattern...>',
        "train on these files alone, e.g. 'notes/**/*.txt', with a recipe of their size; NAME=PATTERN for each of several domains",
      ).conflicts(['config', 'resume']),
    )
    .addOption(
      new Option(
        '--instruct <pattern...>',
        'fine-tune the checkpoint of --init on the questions and answers of these JSON lines, with a recipe of their size',
      ).conflicts(['config', 'resume', 'text', 'inherit']),
    )
    .option('--name <name>', 'name of the new run and its folder (default: of the recipe, and the time)')
    .option('--set <key=value>', 'override a field, e.g. train.steps=200; repeat for several', collect, [])
    .option('--nodes <n>', 'number of nodes (cluster.nodes)', wholeNumber(0))
    .option('--workers-per-node <n>', 'workers on each node (cluster.workersPerNode)', wholeNumber(0))
    .option(
      '--routes <choices>',
      'who chooses the experts: router, balanced, random, or a run whose recorded routes are replayed (train.routes)',
    )
    .option(
      '--resume [dir]',
      'go on from a checkpoint: a run folder, a step folder, or without a value the newest run',
    )
    .option(
      '--fork',
      'with --resume: start a new run from the checkpoint, and leave the run that it is of as it is',
      false,
    )
    .option(
      '--init <dir>',
      'start a new run with the weights of a checkpoint alone: a step folder, a run for its newest, or a HuggingFace folder',
    )
    .option(
      '--inherit <dir>',
      'grow the model of a new run from the checkpoint, or HuggingFace folder, of a dense one: its feed-forward networks become the experts',
    )
    .option(
      '--inherit-noise <share>',
      'noise on every expert, as a share of the root mean square of each of its matrices (0)',
      numberFrom(0),
    )
    .option('--inherit-seed <n>', "seed of that noise (the run's)", wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--no-samples', 'no generated text in the summary')
    .option(
      '--allow-faults',
      'let `locmoe chaos` cut and slow down the links of this run and spoil its steps',
      false,
    )
    .option(
      '--http <host:port>',
      'where the page of the run is served over HTTP; port 0 takes a free one',
      '127.0.0.1:0',
    )
    .option('--no-http', 'do not serve HTTP')
    .option(
      '--linger [seconds]',
      'serve HTTP for so long after the run is over, without a value until Ctrl-C (default: 120 where /metrics was asked for, or could be: with a port of --http and no terminal; else 0)',
      wholeNumber(0, MAX_WAIT_S),
    )
    .option(
      '--tensorboard <dir>',
      'write event files for TensorBoard, in a folder of the run below this one',
    );
}

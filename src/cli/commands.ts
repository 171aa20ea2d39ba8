import type { Command } from 'commander';
import { loadExport } from './packages.js';

interface CommandEntry {
  /** Description in `locmoe --help`. */
  readonly description: string;
  /** Imports the function that adds options and action; importing all commands would take 0.3 s at every start. */
  readonly load: () => Promise<(command: Command) => void>;
}

/** Commands by name, in the order of `locmoe --help`. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  setup: {
    description: "install what training needs beside npm's packages: TensorFlow's library, and text sources",
    load: async () => (await import('./commands/setup.js')).setupCommand,
  },
  doctor: {
    description:
      'look at this machine: can it train, and what to do if not; with --config try a configuration on it',
    load: async () => (await import('./commands/doctor.js')).doctorCommand,
  },
  config: {
    description: 'print the schema of configurations, or one with all defaults filled in',
    load: async () => (await import('./commands/config.js')).configCommand,
  },
  train: {
    description:
      'train on this machine: starts the coordinator, the node agents and their workers, and follows the run',
    load: async () => (await import('./commands/train.js')).trainCommand,
  },
  serve: {
    description:
      'lead a run whose nodes are started elsewhere with `locmoe node`: wait for all of them, train, end with the exit code of the run',
    load: async () => (await import('./commands/serve.js')).serveCommand,
  },
  launch: {
    description:
      'be one task of a run that `srun`, `mpirun` or another launcher starts: all tasks run the same command, the first leads, each is a node, and they end together',
    load: async () => (await import('./commands/launch.js')).launchCommand,
  },
  node: {
    description:
      'be one node of a run: find the coordinator, join, start the workers, carry their bytes (train starts these itself)',
    load: async () => (await import('./commands/node.js')).nodeCommand,
  },
  status: {
    description: 'show what a run is doing: state, step, loss, speed, and a line for each rank',
    load: async () => (await import('./commands/status.js')).statusCommand,
  },
  runs: {
    description: 'list the runs of a folder; compare some; remove old ones, or their checkpoints',
    load: async () => (await import('./commands/runs.js')).runsCommand,
  },
  logs: {
    description: 'show the log of a run: coordinator, node agents and workers, in order of time',
    load: async () => (await import('./commands/logs.js')).logsCommand,
  },
  inspect: {
    description:
      'show runs in a browser: charts, expert load, ranks over time, and the log to search; says where the page of a live run is, or serves one until Ctrl-C',
    load: async () => (await import('./commands/inspect.js')).inspectCommand,
  },
  flight: {
    description:
      'show which rank the others waited for when a run failed, from the flight files of its nodes',
    load: async () => (await import('./commands/flight.js')).flightCommand,
  },
  trace: {
    description:
      'write what every rank did in some steps, and whom it waited for, as a timeline that Perfetto and chrome://tracing open',
    load: async () => (await import('./commands/trace.js')).traceCommand,
  },
  routes: {
    description:
      'record which experts tokens choose, and say what decides it: the id of the token, its domain, or its context',
    load: async () => (await import('./commands/routes.js')).routesCommand,
  },
  stop: {
    description: 'ask a live run for a final checkpoint after its current step, and for its end',
    load: async () => (await import('./commands/stop.js')).stopCommand,
  },
  chaos: {
    description:
      'inject faults into a live run of your own, from a seed, and check what must hold whatever happens',
    load: async () => (await import('./commands/chaos.js')).chaosCommand,
  },
  health: {
    description:
      'ask a coordinator or a node whether it is usable (grpc.health.v1): exit code 0 if so, else 1',
    load: async () => (await import('./commands/health.js')).healthCommand,
  },
  certs: {
    description: 'create the certificates and the join token of a cluster: ca.pem, cert.pem, key.pem, token',
    load: async () => (await import('./commands/certs.js')).certsCommand,
  },
  generate: {
    description: 'continue a prompt with the model of a checkpoint',
    load: async () => (await import('./commands/generate.js')).generateCommand,
  },
  api: {
    description: "serve the model of a checkpoint with OpenAI's API (completions, chat), until Ctrl-C",
    load: async () => (await import('./commands/api.js')).apiCommand,
  },
  data: {
    description: 'show the text that a training would read',
    load: async () => (await import('./commands/data.js')).dataCommand,
  },
  eval: {
    description:
      'loss and perplexity of a checkpoint on the validation text, multiple-choice questions, cloze, and comparisons',
    load: async () => (await import('./commands/eval.js')).evalCommand,
  },
  export: {
    description: 'write the model of a checkpoint in the format of other programs',
    load: async () => (await loadExport()).exportCommand,
  },
};

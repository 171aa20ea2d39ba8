import { freePort } from '@locmoe/test-kit';
import { type Leader, LocmoeProcess } from './locmoe-process.js';

/** Time for the nodes to leave after their coordinator has. */
const LEAVE_MS = 15_000;

/** `locmoe serve`, started anew whenever it was killed, and its nodes. */
export class SupervisedCluster implements Leader {
  readonly #start: () => LocmoeProcess;
  readonly #nodes: readonly LocmoeProcess[];
  #coordinator: LocmoeProcess;
  #isEnding = false;
  isAlive = true;
  readonly exited: Promise<number | null>;

  /**
   * @param training options of a training
   * @param output receives what all of them say
   */
  static async start(
    training: readonly string[],
    numNodes: number,
    output: string,
  ): Promise<SupervisedCluster> {
    const address = `127.0.0.1:${await freePort()}`;
    const start = () =>
      new LocmoeProcess(['serve', ...training, '--listen', address, '--resume-or-start'], output);
    const node = ['node', '--coordinator', address, '--quiet', '--allow-faults'];
    const nodes = Array.from({ length: numNodes }, () => new LocmoeProcess(node, output));
    return new SupervisedCluster(start, nodes);
  }

  private constructor(start: () => LocmoeProcess, nodes: readonly LocmoeProcess[]) {
    this.#start = start;
    this.#nodes = nodes;
    this.#coordinator = start();
    this.exited = this.#supervise();
  }

  async #supervise(): Promise<number | null> {
    let code = await this.#coordinator.exited;
    while (code === null && !this.#isEnding) {
      this.#coordinator = this.#start();
      code = await this.#coordinator.exited;
    }
    const timer = setTimeout(() => {
      for (const node of this.#nodes) node.kill('SIGKILL');
    }, LEAVE_MS);
    await Promise.all(this.#nodes.map(({ exited }) => exited));
    clearTimeout(timer);
    this.isAlive = false;
    return code;
  }

  kill(signal: NodeJS.Signals): void {
    this.#isEnding = true;
    this.#coordinator.kill(signal);
  }
}

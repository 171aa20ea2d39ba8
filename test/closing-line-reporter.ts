import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends the output with one plain line that any CI can read: `N passed, N failed`. Above it, every test that passed only
 * when it was tried again.
 */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = (state: 'passed' | 'failed') =>
      modules.flatMap((module) => [...module.children.allTests(state)]).length;
    // A file that does not load has no tests to fail, and an error outside any test fails the run too.
    const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
    for (const test of modules.flatMap((module) => [...module.children.allTests('passed')])) {
      if (!test.diagnostic()?.flaky) continue;
      const why = test.result().errors?.map(({ message }) => message) ?? [];
      process.stdout.write(`passed at the second try: ${test.fullName}\n${why.join('\n')}\n`);
    }
    process.stdout.write(
      `${count('passed')} passed, ${count('failed') + brokenFiles + unhandledErrors.length} failed\n`,
    );
  }
}

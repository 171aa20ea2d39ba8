const KEY = 'locmoe-theme';

/** Uses the system's theme, or the one that the button last selected. */
export function startTheme(button: HTMLButtonElement): void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const current = () => localStorage.getItem(KEY) ?? (dark.matches ? 'dark' : 'light');
  const apply = () => {
    document.documentElement.dataset.theme = current();
  };
  dark.addEventListener('change', apply);
  button.addEventListener('click', () => {
    localStorage.setItem(KEY, current() === 'dark' ? 'light' : 'dark');
    apply();
  });
  apply();
}

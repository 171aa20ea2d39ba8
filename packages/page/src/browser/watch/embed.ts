import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';
import { startTheme } from '../theme.js';
import { RouteWatch } from './route-watch.js';

// The entry of a static page: puts the slider into each element that names a file of routes.
startTheme();
for (const place of document.querySelectorAll<HTMLElement>('[data-routes]')) {
  const response = await fetch(place.dataset.routes!);
  const data = (await response.json()) as ProbeData | null;
  if (data === null) continue;
  const watch = new RouteWatch();
  watch.set([data]);
  place.append(watch.element);
}

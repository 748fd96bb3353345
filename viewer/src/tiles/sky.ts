/** A piece of the sky on a plane: the tangent projection (Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3), degrees. */
export interface SkyCamera { x: number; y: number; zoom: number }

const RADIAN = 180 / Math.PI;

/** Return (xi, eta) of a direction about a centre, degrees: xi grows to the east, eta to the north. */
export function project(ra_deg: number, dec_deg: number, ra0_deg: number, dec0_deg: number): [number, number] {
  const [a, d, d0] = [(ra_deg - ra0_deg) / RADIAN, dec_deg / RADIAN, dec0_deg / RADIAN];
  const below = Math.sin(d) * Math.sin(d0) + Math.cos(d) * Math.cos(d0) * Math.cos(a);
  const scale = RADIAN / Math.max(below, 1e-3); // what lies behind the horizon goes far away
  return [scale * Math.cos(d) * Math.sin(a), scale * (Math.sin(d) * Math.cos(d0) - Math.cos(d) * Math.sin(d0) * Math.cos(a))];
}

/** Return the camera that shows all outlines with a margin; zoom in px a degree. */
export function fitSky(outlines: [number, number][][], width: number, height: number): SkyCamera {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const outline of outlines) {
    for (const [x, y] of outline) {
      [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    }
  }
  if (!(x1 > x0)) return { x: 0, y: 0, zoom: 200 };
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, zoom: 0.85 * Math.min(width / (x1 - x0), height / Math.max(1e-9, y1 - y0)) };
}

/** Return whether a point lies inside of a polygon (ray casting). */
export function isInside([x, y]: [number, number], polygon: [number, number][]): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [polygon[i]!, polygon[j]!];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

const STEPS_DEG = [1 / 60, 2 / 60, 5 / 60, 10 / 60, 0.25, 0.5, 1, 2, 5, 10, 30];

function stepFor(span_deg: number): number {
  return STEPS_DEG.find((step) => span_deg / step < 7) ?? 30;
}

function degreesText(value: number): string {
  const minutes = Math.round(Math.abs(value) * 60);
  return `${value < 0 ? "\u2212" : ""}${Math.floor(minutes / 60)}\u00b0${minutes % 60 ? ` ${String(minutes % 60).padStart(2, "0")}\u2032` : ""}`;
}

function hoursText(ra_deg: number): string {
  const seconds = Math.round(((((ra_deg % 360) + 360) % 360) / 15) * 3600);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  return `${h}h ${String(m).padStart(2, "0")}m${s ? ` ${String(s).padStart(2, "0")}s` : ""}`;
}

export interface GridLine { points: [number, number][]; label: string; isMeridian: boolean }

/** Return meridians and parallels around a centre, over `span_deg` in each direction. */
export function linesOfGrid(ra0_deg: number, dec0_deg: number, span_deg: number): GridLine[] {
  const step = stepFor(span_deg);
  const stretch = 1 / Math.max(0.05, Math.cos(dec0_deg / RADIAN));
  const raStep = stepFor(span_deg * stretch);
  const lines: GridLine[] = [];
  const reach = Math.min(85, span_deg);
  for (let dec = Math.ceil((dec0_deg - reach) / step) * step; dec <= Math.min(89.9, dec0_deg + reach); dec += step) {
    if (dec < -89.9) continue;
    const points: [number, number][] = [];
    for (let i = -40; i <= 40; i += 1) points.push(project(ra0_deg + (i / 40) * Math.min(89, reach * stretch), dec, ra0_deg, dec0_deg));
    lines.push({ points, label: degreesText(dec), isMeridian: false });
  }
  for (let ra = Math.ceil((ra0_deg - reach * stretch) / raStep) * raStep; ra <= ra0_deg + reach * stretch; ra += raStep) {
    if (Math.abs(ra - ra0_deg) > 89) continue;
    const points: [number, number][] = [];
    for (let i = -40; i <= 40; i += 1) points.push(project(ra, Math.max(-90, Math.min(90, dec0_deg + (i / 40) * reach)), ra0_deg, dec0_deg));
    lines.push({ points, label: hoursText(ra), isMeridian: true });
  }
  return lines;
}

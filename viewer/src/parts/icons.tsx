/** The app's drawings, 24 x 24, in the colour of the text. */
const PATHS = {
  open: "M3 7a2 2 0 0 1 2-2h4l2 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  frames: "M4 5h16v14H4zM4 9h16M9 9v10M4 14h16",
  run: "M7 5l12 7-12 7z",
  live: "M12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM7.5 7.5a6.4 6.4 0 0 0 0 9M16.5 7.5a6.4 6.4 0 0 1 0 9M4.7 4.7a10.3 10.3 0 0 0 0 14.6M19.3 4.7a10.3 10.3 0 0 1 0 14.6",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.2v.1",
  finish: "M4 20l9-9M12 4l1 3 3 1-3 1-1 3-1-3-3-1 3-1zM18 12l.7 2.3L21 15l-2.3.7L18 18l-.7-2.3L15 15l2.3-.7z",
  sky: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  report: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  help: "M9 9a3 3 0 1 1 4 3c-.8.4-1 1-1 2M12 17.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  moon: "M20 14a8 8 0 1 1-9-11 6.5 6.5 0 0 0 9 11z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2",
  eye: "M2 12c3-5 6-7 10-7s7 2 10 7c-3 5-6 7-10 7s-7-2-10-7zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  play: "M7 5l12 7-12 7z",
  pause: "M8 5v14M16 5v14",
  back: "M16 5l-8 7 8 7",
  next: "M8 5l8 7-8 7",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12l5 5 9-10",
  warning: "M12 4l9 16H3zM12 10v5M12 17.5v.1",
  stop: "M6 6h12v12H6z",
  again: "M4 12a8 8 0 1 0 3-6M4 4v4h4",
  up: "M12 5l-7 7M12 5l7 7M12 5v14",
  undo: "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
  redo: "M15 5l5 5-5 5M20 10H10a6 6 0 0 0 0 12h3",
  raise: "M6 15l6-6 6 6",
  lower: "M6 9l6 6 6-6",
  grip: "M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1",
  mask: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16M12 8h4M12 12h7M12 16h5",
  grid: "M3 8c6-2 12-2 18 0M3 16c6-2 12-2 18 0M8 3c-2 6-2 12 0 18M16 3c2 6 2 12 0 18",
  star: "M12 3l2.2 6.8L21 12l-6.8 2.2L12 21l-2.2-6.8L3 12l6.8-2.2z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

// What something is, drawn: each has a word beside it, so that a screen reader needs none of them.
import type { ReactNode } from "react";

const DRAWN = {
  danger: <><path d="M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z" /><path d="M8 4.7v3.9M8 11v.2" /></>,
  warning: <><path d="M8 1.9 15 14H1z" /><path d="M8 6.3v3.5M8 11.9v.1" /></>,
  info: <><circle cx="8" cy="8" r="6.5" /><path d="M8 7.4v3.6M8 5v.1" /></>,
  resolved: <><circle cx="8" cy="8" r="6.5" /><path d="m5.2 8.2 2 2 3.7-4.1" /></>,
  gone: <><circle cx="8" cy="8" r="6.5" /><path d="M5.2 8h5.6" /></>,
  bell: <><path d="M3.5 11.5h9c-1-1-1.2-2-1.2-4.2C11.300 4.900 10 3.500 8 3.500S4.700 4.900 4.700 7.300c0 2.200-.2 3.200-1.200 4.200z" /><path d="M6.600 13.600c.3.500.8.700 1.400.7s1.100-.2 1.400-.7M8 1.700v1.600" /></>,
  sound: <><path d="M2 6.200v3.600h2.300L8 12.900V3.100L4.300 6.200z" /><path d="M10.500 5.600a3.400 3.400 0 0 1 0 4.800M12.400 3.700a6 6 0 0 1 0 8.600" /></>,
  auto: <><circle cx="8" cy="8" r="6" /><path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" /></>,
  light: <><circle cx="8" cy="8" r="3" /><path d="M8 1v1.600M8 13.400V15M1 8h1.600M13.400 8H15M3 3l1.100 1.100M11.900 11.900 13 13M13 3l-1.100 1.100M4.100 11.900 3 13" /></>,
  dark: <path d="M13.500 9.600A5.900 5.900 0 0 1 6.400 2.500a5.900 5.900 0 1 0 7.100 7.100z" />,
  back: <path d="M9.500 3.500 5 8l4.500 4.500" />,
  search: <><circle cx="7" cy="7" r="4.500" /><path d="m10.400 10.400 3.400 3.400" /></>,
  leave: <path d="M6.500 2.500h-4v11h4M6 8h8M11 5l3 3-3 3" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof DRAWN;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {DRAWN[name]}
    </svg>
  );
}

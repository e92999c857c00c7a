/**
 * When an answer ends where nobody looks (a hidden tab, a hidden panel), a mark
 * waits on the page's title and on the panel's icon, and, if the user wanted that,
 * the browser tells it. Knows no widget: what marks is handed in.
 */
import { FINAL_STATES } from '../wire/types';
import type { ITurn } from '../wire/types';
import type { Turns } from './tree';

export interface IAttentionOptions {
  /** the state and its changes: the chat's store */
  turns(): Turns;
  subscribe(listener: () => void): () => void;
  /** somebody can see the panel now */
  seen(): boolean;
  /** fires when `seen` may have changed */
  onSeen(listener: () => void): () => void;
  /** how many answers ended unseen; 0 takes the mark away */
  mark(count: number): void;
  /** show a notification; only called for turns that ended unseen */
  tell(turn: ITurn): void;
}

/** Answers the way to end it. */
export function watchAttention(options: IAttentionOptions): () => void {
  let before = options.turns();
  let unseen = 0;
  const set = (count: number): void => {
    if (count !== unseen) {
      unseen = count;
      options.mark(count);
    }
  };
  const changed = (): void => {
    const now = options.turns();
    const ended = endedBetween(before, now);
    before = now;
    if (ended.length && !options.seen()) {
      set(unseen + ended.length);
      ended.forEach(turn => options.tell(turn));
    }
  };
  const looked = (): void => {
    if (options.seen()) {
      set(0);
    }
  };
  const stops = [options.subscribe(changed), options.onSeen(looked)];
  return () => {
    stops.forEach(stop => stop());
    set(0);
  };
}

/** Turns that were on their way and have ended; what the user stopped is no news. */
export function endedBetween(before: Turns, now: Turns): ITurn[] {
  if (before === now) {
    return [];
  }
  return [...now.values()].filter(turn => {
    const was = before.get(turn.id);
    return (
      was !== undefined &&
      !FINAL_STATES.has(was.state) &&
      FINAL_STATES.has(turn.state) &&
      turn.stopped_by !== 'user'
    );
  });
}

/** Needs a secure context (https, or localhost): elsewhere there is only the mark. */
export function canNotify(): boolean {
  return window.isSecureContext && 'Notification' in window;
}

/** Only from a click of the user: browsers refuse it otherwise. */
export async function askToNotify(): Promise<boolean> {
  return canNotify() && (await Notification.requestPermission()) === 'granted';
}

export function notify(title: string, body: string, click: () => void): void {
  if (!canNotify() || Notification.permission !== 'granted') {
    return;
  }
  try {
    const notification = new Notification(title, { body, tag: 'cellar' });
    notification.onclick = () => {
      window.focus();
      click();
      notification.close();
    };
  } catch {
    // Some browsers only notify from a service worker.
  }
}

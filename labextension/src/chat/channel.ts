/** Tabs of one browser and server tell each other what changed. */

/** How tabs of one browser tell each other that something changed. */
export interface IChannel {
  post(conversationId: string): void;
  onMessage(listener: (conversationId: string) => void): void;
  close(): void;
}

export function browserChannel(scope: string): IChannel {
  const channel =
    typeof BroadcastChannel === 'undefined'
      ? null
      : new BroadcastChannel(`cellar:${scope}`);
  return {
    post: id => channel?.postMessage(id),
    onMessage: listener => {
      if (channel) {
        channel.onmessage = event => listener(String(event.data));
      }
    },
    close: () => channel?.close()
  };
}

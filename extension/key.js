// Runs in pages of sites that the user has permitted: tells which keys are held while something is clicked, and nothing else.
addEventListener(
  'click',
  (event) => {
    const keys = ['alt', 'shift', 'ctrl'].filter((key) => event[`${key}Key`]);
    // A page cannot press keys.
    if (event.isTrusted && keys.length > 0) chrome.runtime.sendMessage({ keys }).catch(() => {});
  },
  true,
);

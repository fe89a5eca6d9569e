// Runs before anything is painted: the theme that this person chose (or the system's), and their time zone for the server.
(function () {
  "use strict";
  var KEY = "rollbackhub-theme";
  var system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      var value = localStorage.getItem(KEY);
      return value === "light" || value === "dark" ? value : "system";
    } catch (error) {
      return "system"; // Storage is switched off: follow the system.
    }
  }

  function apply() {
    var choice = chosen();
    var theme = choice === "system" ? (system.matches ? "dark" : "light") : choice;
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.setAttribute("data-theme-choice", choice);
    document.dispatchEvent(new CustomEvent("hub:theme", { detail: { theme: theme, choice: choice } }));
  }

  window.hubTheme = {
    choose: function (choice) {
      try {
        if (choice === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, choice);
      } catch (error) {
        document.documentElement.setAttribute("data-bs-theme", choice === "dark" ? "dark" : "light");
        return; // Storage is switched off: the choice holds for this page only.
      }
      apply();
    },
    chosen: chosen,
  };
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  apply();

  var zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = "hub_tz=" + encodeURIComponent(zone) + "; path=/; max-age=31536000; samesite=lax";
})();

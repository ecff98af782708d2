/** Light, dark, or as the system has it; the choice is kept in this browser. */

const CHOICES = ["system", "light", "dark"];
const NAMES = { system: "Auto", light: "Light", dark: "Dark" };

/** Lets a button go through the choices. */
export function begin(button) {
  let choice = localStorage.getItem("theme");
  if (!CHOICES.includes(choice)) choice = "system";
  const apply = () => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = NAMES[choice];
    button.setAttribute("aria-label", `Colours: ${NAMES[choice]}`);
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    localStorage.setItem("theme", choice);
    apply();
  });
  apply();
}

"""How well a linear function of frozen features tells objects from the background, solved in closed form."""
